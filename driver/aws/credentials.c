/* SPDX-License-Identifier: MIT */
#include "driver/aws/credentials.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "driver/aws/client.h"

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
    /* sodium_free() wipes, and takes NULL. */
    sodium_free(credentials->key_id);
    sodium_free(credentials->secret);
    sodium_free(credentials->token);
    *credentials = (struct aws_credentials){0};
}

/* Of the form "+hh:mm", "+hhmm" or "Z", as seconds east of Greenwich. */
static int parse_zone(const char *text, int64_t *out_s)
{
    int sign = text[0] == '-' ? -1 : 1;
    int digits[4];
    size_t count = 0;
    if (strcmp(text, "Z") == 0) {
        *out_s = 0;
        return 0;
    }
    if (text[0] != '+' && text[0] != '-') {
        return -1;
    }
    for (const char *at = text + 1; *at != '\0'; at++) {
        if (*at == ':' && count == 2) {
            continue;
        }
        if (*at < '0' || *at > '9' || count == 4) {
            return -1;
        }
        digits[count++] = *at - '0';
    }
    if (count != 4) {
        return -1;
    }
    int minutes = (digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3];
    *out_s = sign * minutes * 60LL;
    return 0;
}

int aws_time_parse(const char *text, int64_t *out_s)
{
    struct tm parts = {0};
    int64_t zone_s = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == NULL) {
        return -1;
    }
    if (*rest == '.') {
        rest += 1 + strspn(rest + 1, "0123456789");
    }
    if (parse_zone(rest, &zone_s) < 0) {
        return -1;
    }
    *out_s = (int64_t)timegm(&parts) - zone_s;
    return 0;
}

int aws_credentials_set(struct aws_credentials *credentials,
                        const struct aws_credentials_texts *texts, const char *source,
                        struct error *err)
{
    struct aws_credentials made = {0};
    if (texts->key_id == NULL || texts->secret == NULL || texts->key_id[0] == '\0' ||
        texts->secret[0] == '\0') {
        return error_set(err, ERROR_USAGE, 0, "%s has no whole key: %s is missing", source,
                         texts->key_id == NULL || texts->key_id[0] == '\0'
                             ? "the access key id"
                             : "the secret access key");
    }
    if (texts->expiration != NULL && aws_time_parse(texts->expiration, &made.expires_s) < 0) {
        return error_set(err, ERROR_PEER, 0, "%s: '%.40s' is no time of expiration", source,
                         texts->expiration);
    }
    bool has_token = texts->token != NULL && texts->token[0] != '\0';
    made.key_id = copy_secret(texts->key_id);
    made.secret = copy_secret(texts->secret);
    made.token = has_token ? copy_secret(texts->token) : NULL;
    (void)snprintf(made.source, sizeof(made.source), "%s", source);
    if (made.key_id == NULL || made.secret == NULL || (has_token && made.token == NULL)) {
        aws_credentials_done(&made);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the credentials of %s", source);
    }
    aws_credentials_done(credentials);
    *credentials = made;
    return 0;
}

int aws_credentials_find(struct aws_client *client, int64_t deadline_ms,
                         struct aws_credentials *out, struct error *err)
{
    (void)client;
    (void)deadline_ms;
    struct aws_credentials_texts texts = {
        .key_id = aws_environment("AWS_ACCESS_KEY_ID"),
        .secret = aws_environment("AWS_SECRET_ACCESS_KEY"),
        .token = aws_environment("AWS_SESSION_TOKEN"),
    };
    if (texts.key_id == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "no AWS credentials; set AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY");
    }
    return aws_credentials_set(out, &texts, "the environment", err);
}
