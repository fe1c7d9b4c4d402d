/* SPDX-License-Identifier: MIT */
/*
 * credentials.h - an AWS access key with its source and expiry.
 *
 * The struct owns its texts, in sodium_malloc()ed memory: aws_credentials_done() wipes and frees
 * them, and may be called on a zeroed or finished struct. Times are seconds since 1970.
 */
#ifndef BERTH_DRIVER_AWS_CREDENTIALS_H
#define BERTH_DRIVER_AWS_CREDENTIALS_H

#include <stdint.h>

#include "common/error.h"

struct aws_credentials {
    char *key_id, *secret;
    char *token;       /* NULL: a long-lived key */
    int64_t expires_s; /* 0: never */
    char source[160];  /* for messages: "the environment", "profile 'ci'" */
};

/* Texts from a source, not owned. */
struct aws_credentials_texts {
    const char *key_id, *secret, *token, *expiration; /* the last an ISO 8601 time or NULL */
};

/* Copies the texts; an empty token is none. Fails without key or secret. */
int aws_credentials_set(struct aws_credentials *credentials,
                        const struct aws_credentials_texts *texts, const char *source,
                        struct error *err) __attribute__((warn_unused_result));
void aws_credentials_done(struct aws_credentials *credentials);

#endif
