/* SPDX-License-Identifier: MIT */
/*
 * client.h - reads one repository of a container registry.
 *
 * Protocol: OCI distribution-spec 1.1 ("Pull"), Docker Registry v2 token authentication, RFC 6749
 * refresh tokens as Docker uses them. HTTPS; plain HTTP only for a host in 'insecure'.
 *
 * A registry is not trusted. All answers together have a ceiling and a deadline. Redirects and the
 * realm of tokens must be HTTPS too, and no host that is not in 'insecure' may have an address that
 * address.h refuses: each address is checked when the connection is opened. (With a proxy, which
 * may be on this host, only addresses that are written in URLs can be checked.) The login goes to
 * the registry itself and to the realm that it names, nowhere else, and the realm cannot redirect.
 *
 * A response of any HTTP status is success. -1: there was none, or a rule above was broken; EINTR:
 * a request to stop. The caller keeps name, options and login while the struct exists.
 */
#ifndef BERTH_DRIVER_REGISTRY_CLIENT_H
#define BERTH_DRIVER_REGISTRY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/registry/digest.h"
#include "driver/registry/login.h"
#include "driver/registry/manifest.h"
#include "driver/registry/name.h"

struct registry;

struct registry_options {
    const struct config_list *insecure; /* "HOST" or "HOST:PORT" each */
    const struct registry_login *login; /* NULL: none */
    struct signals *signals;            /* may be NULL */
    int64_t deadline_ms;                /* of all requests together */
    int64_t stall_ms;                   /* of one; 0: none */
    int64_t ceiling_bytes;              /* of all answers together */
};

struct registry_answer {
    int status;
    char type[MANIFEST_TYPE_BYTES]; /* Content-Type */
    char digest[DIGEST_BYTES];      /* Docker-Content-Digest; empty: none, or not valid */
    struct buffer body;             /* zeroed before the first request; for buffer_done() */
};

struct registry *registry_open(const struct image_name *name,
                               const struct registry_options *options, struct error *err);
void registry_close(struct registry *registry);

/* For the requests from now on. */
void registry_set_deadline(struct registry *registry, int64_t deadline_ms);

/* What is left of 'ceiling_bytes'. */
int64_t registry_bytes_left(const struct registry *registry);

/* "host" or "host:port" that requests go to: for docker.io "registry-1.docker.io". */
const char *registry_host(const struct registry *registry);

/* Whether the last answers were for the login, not anonymous. */
bool registry_used_login(const struct registry *registry);

/* HEAD, or GET with the body; 'reference' is a tag or a digest. The caller frees the answer in any
 * case. */
int registry_head(struct registry *registry, const char *reference, struct registry_answer *answer,
                  struct error *err) __attribute__((warn_unused_result));
int registry_get_manifest(struct registry *registry, const char *reference,
                          struct registry_answer *answer, struct error *err)
    __attribute__((warn_unused_result));

/* A blob, into answer->body, or with 'on_bytes' to that in pieces (-1 aborts); an error answer is
 * always in the body. The digest is not checked. */
int registry_get_blob(struct registry *registry, const char *digest,
                      int (*on_bytes)(void *context, const char *bytes, size_t length),
                      void *context, struct registry_answer *answer, struct error *err)
    __attribute__((warn_unused_result));

/* Whether the body of an error answer names one of these codes of the specification. */
bool registry_says_unknown(const struct registry_answer *answer);

#endif
