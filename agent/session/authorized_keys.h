/* SPDX-License-Identifier: MIT */
/*
 * authorized_keys.h - the public keys that may log in, from SSH_PUBLIC_KEY.
 *
 * Read once in init, used by every session. The format is that of authorized_keys without options,
 * with LF or CRLF. Key types are Ed25519, ECDSA P-256/384/521, and RSA from LIMIT_RSA_BITS. Any
 * other line is skipped with a warning. authorized_free() frees the keys.
 */
#ifndef BERTH_AGENT_SESSION_AUTHORIZED_KEYS_H
#define BERTH_AGENT_SESSION_AUTHORIZED_KEYS_H

#include <libssh/libssh.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct authorized;

/* Fails with ERROR_USAGE when 'text' has no usable key. */
int authorized_parse(const char *text, struct authorized **out_keys, struct error *err)
    __attribute__((warn_unused_result));
void authorized_free(struct authorized *keys);

size_t authorized_count(const struct authorized *keys);
bool authorized_contains(const struct authorized *keys, ssh_key key);

#endif
