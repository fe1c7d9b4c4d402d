/* SPDX-License-Identifier: MIT */
/*
 * credentials.h - a key of AWS, where it comes from, and until when it holds.
 *
 * The texts lie in sodium_malloc()ed memory, owned by the struct: aws_credentials_done() wipes and
 * frees them, and may be called on a zeroed or finished struct. Times are seconds since 1970.
 */
#ifndef BERTH_DRIVER_AWS_CREDENTIALS_H
#define BERTH_DRIVER_AWS_CREDENTIALS_H

#include <stdint.h>

#include "common/error.h"

struct aws_client;

struct aws_credentials {
    char *key_id, *secret;
    char *token;       /* NULL: a long-lived key */
    int64_t expires_s; /* 0: never */
    char source[160];  /* "the environment", "profile 'ci'": for people */
};

/* What a source hands over: borrowed texts. */
struct aws_credentials_texts {
    const char *key_id, *secret, *token, *expiration; /* the last an ISO 8601 time or NULL */
};

/* Copies; an empty token counts as none. Without key or secret it fails. */
int aws_credentials_set(struct aws_credentials *credentials,
                        const struct aws_credentials_texts *texts, const char *source,
                        struct error *err) __attribute__((warn_unused_result));
void aws_credentials_done(struct aws_credentials *credentials);

/* Finds credentials where the SDKs look, in their order: environment, profile (role, key,
 * credential_process), web identity, container endpoint, instance metadata. */
int aws_credentials_find(struct aws_client *client, int64_t deadline_ms,
                         struct aws_credentials *out, struct error *err)
    __attribute__((warn_unused_result));

/* "2026-01-02T03:04:05Z" (fractions and offsets too) to seconds. */
int aws_time_parse(const char *text, int64_t *out_s) __attribute__((warn_unused_result));

#endif
