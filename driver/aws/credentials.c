/* SPDX-License-Identifier: MIT */
#include "driver/aws/credentials.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/time_text.h"

static char *copy_secret(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sodium_malloc(size);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

void aws_credentials_done(struct aws_credentials *credentials)
{
    /* sodium_free() wipes, and accepts NULL. */
    sodium_free(credentials->key_id);
    sodium_free(credentials->secret);
    sodium_free(credentials->token);
    *credentials = (struct aws_credentials){0};
}

int aws_credentials_set(struct aws_credentials *credentials,
                        const struct aws_credentials_texts *texts, const char *source,
                        struct error *err)
{
    struct aws_credentials made = {0};
    if (texts->key_id == NULL || texts->secret == NULL || texts->key_id[0] == '\0' ||
        texts->secret[0] == '\0') {
        return error_set(err, ERROR_USAGE, 0, "%s has an incomplete key: %s is missing", source,
                         texts->key_id == NULL || texts->key_id[0] == '\0'
                             ? "the access key id"
                             : "the secret access key");
    }
    if (texts->expiration != NULL && time_text_parse_s(texts->expiration, &made.expires_s) < 0) {
        return error_set(err, ERROR_PEER, 0, "%s: '%.40s' is not a valid expiration time", source,
                         texts->expiration);
    }
    bool has_token = texts->token != NULL && texts->token[0] != '\0';
    made.key_id = copy_secret(texts->key_id);
    made.secret = copy_secret(texts->secret);
    made.token = has_token ? copy_secret(texts->token) : NULL;
    (void)snprintf(made.source, sizeof(made.source), "%s", source);
    if (made.key_id == NULL || made.secret == NULL || (has_token && made.token == NULL)) {
        aws_credentials_done(&made);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "out of memory for the credentials of %s",
                         source);
    }
    aws_credentials_done(credentials);
    *credentials = made;
    return 0;
}
