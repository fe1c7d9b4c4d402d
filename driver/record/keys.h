/* SPDX-License-Identifier: MIT */
/*
 * keys.h - the Ed25519 keys of a job: the user's, to log in, and one host key for each container
 * with an agent (metadata.h), to identify it.
 *
 * A key is its 32 byte seed of RFC 8032; everything else is derived from it. Seeds are in memory
 * from keys_new(), which is locked and guarded, and which keys_free() wipes. Public keys are not
 * secret. Call keys_init() once for each process before anything else here.
 */
#ifndef BERTH_DRIVER_RECORD_KEYS_H
#define BERTH_DRIVER_RECORD_KEYS_H

#include "common/ed25519.h"
#include "common/error.h"

#define KEYS_LINE_BYTES 128 /* an authorized_keys line, with the NUL */

struct keys {
    unsigned char user_seed[ED25519_SEED_BYTES];
    unsigned char host_seed[ED25519_SEED_BYTES];   /* of the job's container */
    unsigned char helper_seed[ED25519_SEED_BYTES]; /* of the helper's */
};

int keys_init(struct error *err) __attribute__((warn_unused_result));

/* Memory for the seeds, zeroed; NULL when there is none. */
struct keys *keys_new(void);
void keys_free(struct keys *keys); /* accepts NULL */
void keys_generate(struct keys *keys);

void keys_authorized_line(const unsigned char *seed, char out[KEYS_LINE_BYTES]);

#endif
