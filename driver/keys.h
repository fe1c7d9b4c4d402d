/* SPDX-License-Identifier: MIT */
/*
 * keys.h - the two Ed25519 keys of a job: the user's, which logs in, and the host's, which the
 * task must prove.
 *
 * A key is its 32 byte seed of RFC 8032; everything else follows from it. Seeds live in memory
 * from keys_new(), which is locked, guarded and wiped by keys_free(). Public forms are no secret.
 * keys_init() once per process, before anything else here.
 */
#ifndef BERTH_DRIVER_KEYS_H
#define BERTH_DRIVER_KEYS_H

#include <libssh/libssh.h>

#include "common/error.h"

#define KEYS_SEED_BYTES          32
#define KEYS_PUBLIC_BYTES        32
#define KEYS_SEED_BASE64_BYTES   45  /* with the NUL */
#define KEYS_PUBLIC_BASE64_BYTES 69  /* of the SSH form, with the NUL */
#define KEYS_LINE_BYTES          128 /* an authorized_keys line, with the NUL */

struct keys {
    unsigned char user_seed[KEYS_SEED_BYTES];
    unsigned char host_seed[KEYS_SEED_BYTES];
};

int keys_init(struct error *err) __attribute__((warn_unused_result));

/* Memory for both seeds, zeroed; NULL when there is none. */
struct keys *keys_new(void);
void keys_free(struct keys *keys); /* accepts NULL */
void keys_generate(struct keys *keys);

void keys_public(const unsigned char *seed, unsigned char *out_public);
/* The key blob of RFC 8709 in base64, as in known_hosts. */
void keys_public_base64(const unsigned char *seed, char out[KEYS_PUBLIC_BASE64_BYTES]);
void keys_authorized_line(const unsigned char *seed, char out[KEYS_LINE_BYTES]);

void keys_seed_base64(const unsigned char *seed, char out[KEYS_SEED_BASE64_BYTES]);
int keys_seed_parse(const char *base64, unsigned char *out_seed, struct error *err)
    __attribute__((warn_unused_result));

/* For libssh; the caller frees with ssh_key_free(). */
int keys_import_private(const unsigned char *seed, ssh_key *out_key, struct error *err)
    __attribute__((warn_unused_result));
int keys_import_public(const unsigned char *seed, ssh_key *out_key, struct error *err)
    __attribute__((warn_unused_result));

#endif
