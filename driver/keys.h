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

#include "common/ed25519.h"
#include "common/error.h"

#define KEYS_LINE_BYTES 128 /* an authorized_keys line, with the NUL */

struct keys {
    unsigned char user_seed[ED25519_SEED_BYTES];
    unsigned char host_seed[ED25519_SEED_BYTES];
};

int keys_init(struct error *err) __attribute__((warn_unused_result));

/* Memory for both seeds, zeroed; NULL when there is none. */
struct keys *keys_new(void);
void keys_free(struct keys *keys); /* accepts NULL */
void keys_generate(struct keys *keys);

void keys_authorized_line(const unsigned char *seed, char out[KEYS_LINE_BYTES]);

#endif
