/* SPDX-License-Identifier: MIT */
/*
 * ed25519.h - SSH keys derived from 32 random bytes.
 *
 * The driver generates two seeds for each job, of the user's key and of the host key; the agent
 * gets the latter. A seed is the private key of RFC 8032; the SSH formats are those of RFC 8709
 * and, for libssh, of openssh-portable's PROTOCOL.key. The caller keeps seeds in locked memory and
 * wipes them. Call sodium_init() first.
 */
#ifndef BERTH_COMMON_ED25519_H
#define BERTH_COMMON_ED25519_H

#include <libssh/libssh.h>

#include "common/error.h"

#define ED25519_SEED_BYTES          32
#define ED25519_PUBLIC_BYTES        32
#define ED25519_SEED_BASE64_BYTES   45 /* with the NUL */
#define ED25519_PUBLIC_BASE64_BYTES 69 /* of the SSH form, with the NUL */

/* Exported for its unit test. */
void ed25519_public(const unsigned char *seed, unsigned char *out_public);

/* The key blob of RFC 8709 in base64, as in known_hosts. */
void ed25519_public_base64(const unsigned char *seed, char out[ED25519_PUBLIC_BASE64_BYTES]);

void ed25519_seed_base64(const unsigned char *seed, char out[ED25519_SEED_BASE64_BYTES]);
int ed25519_seed_parse(const char *base64, unsigned char *out_seed, struct error *err)
    __attribute__((warn_unused_result));

/* For libssh; the caller frees with ssh_key_free(). */
int ed25519_import_private(const unsigned char *seed, ssh_key *out_key, struct error *err)
    __attribute__((warn_unused_result));
int ed25519_import_public(const unsigned char *seed, ssh_key *out_key, struct error *err)
    __attribute__((warn_unused_result));

#endif
