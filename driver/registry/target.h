/* SPDX-License-Identifier: MIT */
/*
 * target.h - the URL of one request to a registry, its realm or where it redirects to.
 *
 * The rules for all three are here: HTTPS, unless the host is in 'insecure'; no user or password in
 * the URL; no host that address.h refuses, unless it is in 'insecure'. Errors are ERROR_PEER and
 * name the host alone: paths and queries can hold tokens.
 */
#ifndef BERTH_DRIVER_REGISTRY_TARGET_H
#define BERTH_DRIVER_REGISTRY_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/error.h"
#include "driver/config/config.h"

#define TARGET_URL_BYTES  8192 /* presigned addresses of storage have 2 to 4 KiB */
#define TARGET_HOST_BYTES 300

struct target {
    char url[TARGET_URL_BYTES];
    char
        host[TARGET_HOST_BYTES]; /* "host" or "host:port", in lower case, a default port left out */
    bool https;
    bool is_exempt; /* in 'insecure': its addresses are not checked */
};

/* Whether "host" or "host:port" is in the list. */
bool target_is_insecure(const struct config_list *insecure, const char *host);

int target_set(const char *url, const struct config_list *insecure, struct target *out_target,
               struct error *err) __attribute__((warn_unused_result));

/* Where 'location' leads from 'from'; 'out_target' may be 'from'. */
int target_follow(const struct target *from, const char *location,
                  const struct config_list *insecure, struct target *out_target, struct error *err)
    __attribute__((warn_unused_result));

/* Appends "name=value", encoded, to the query. */
int target_add_query(struct target *target, const char *name, const char *value, struct error *err)
    __attribute__((warn_unused_result));

/* Whether the address is that of the environment's proxy for HTTPS or HTTP, as libcurl reads it, if
 * that proxy is on this host by its URL ("http://127.0.0.1:3128"). */
bool target_is_proxy(bool https, const struct sockaddr *address);

#endif
