/* SPDX-License-Identifier: MIT */
/*
 * authorized.h - the public keys that may log in, from SSH_PUBLIC_KEY.
 *
 * Read once in init from the operator's variable, used by every session. One key a line, as in
 * authorized_keys without options; LF or CRLF; blank lines and comments are skipped, lines that
 * are no acceptable key are skipped with a warning that names the line and the reason. Ed25519,
 * ECDSA P-256/384/521 and RSA from LIMIT_RSA_BITS. authorized_free() frees the keys.
 */
#ifndef BERTH_AGENT_SESSION_AUTHORIZED_H
#define BERTH_AGENT_SESSION_AUTHORIZED_H

#include <libssh/libssh.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct authorized;

/* Fails with ERROR_USAGE when not one usable key is in 'text'. */
int authorized_parse(const char *text, struct authorized **out_keys, struct error *err)
    __attribute__((warn_unused_result));
void authorized_free(struct authorized *keys);

size_t authorized_count(const struct authorized *keys);
bool authorized_contains(const struct authorized *keys, ssh_key key);

#endif
