/* SPDX-License-Identifier: MIT */
/* Credentials that are given as text: in the environment, in profiles, in JSON; and what the other
 * sources read settings and tokens with. */
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "driver/aws/sources.h"
#include "driver/base/json.h"

int aws_source_environment(struct aws_search *search, struct error *err)
{
    struct aws_credentials_texts texts = {
        .key_id = aws_environment("AWS_ACCESS_KEY_ID"),
        .secret = aws_environment("AWS_SECRET_ACCESS_KEY"),
        .token = aws_environment("AWS_SESSION_TOKEN"),
        .expiration = aws_environment("AWS_CREDENTIAL_EXPIRATION"),
    };
    if (texts.token == NULL) {
        texts.token = aws_environment("AWS_SECURITY_TOKEN"); /* the former name */
    }
    if (texts.key_id == NULL) {
        return 0;
    }
    return aws_credentials_set(search->out, &texts, "the environment", err) < 0 ? -1 : 1;
}

int aws_source_keys(struct aws_search *search, enum aws_profile_file file, const char *profile,
                    struct error *err)
{
    const struct aws_profiles *profiles = search->profiles;
    char source[160];
    struct aws_credentials_texts texts = {
        .key_id = aws_profile_get_from(profiles, file, profile, "aws_access_key_id"),
        .secret = aws_profile_get_from(profiles, file, profile, "aws_secret_access_key"),
        .token = aws_profile_get_from(profiles, file, profile, "aws_session_token"),
    };
    if (texts.token == NULL) {
        texts.token = aws_profile_get_from(profiles, file, profile, "aws_security_token");
    }
    if (texts.key_id == NULL) {
        return 0;
    }
    (void)snprintf(source, sizeof(source), "profile '%s'", profile);
    return aws_credentials_set(search->out, &texts, source, err) < 0 ? -1 : 1;
}

const char *aws_source_setting(const struct aws_search *search, const char *profile,
                               const char *variable, const char *key, bool environment)
{
    const char *value = environment ? aws_environment(variable) : NULL;
    return value != NULL ? value : aws_profile_get(search->profiles, profile, key);
}

int aws_source_read_json(struct aws_search *search, const char *text, size_t length,
                         const char *token_name, const char *source, struct error *err)
{
    cJSON *object = text == NULL ? NULL : cJSON_ParseWithLength(text, length);
    if (!cJSON_IsObject(object)) {
        json_delete_wiped(object);
        return error_set(err, ERROR_PEER, 0, "%s: not a JSON object (%zu bytes)", source, length);
    }
    struct aws_credentials_texts texts = {
        .key_id = json_text_at(object, "AccessKeyId"),
        .secret = json_text_at(object, "SecretAccessKey"),
        .token = json_text_at(object, token_name),
        .expiration = json_text_at(object, "Expiration"),
    };
    const char *code = json_text_at(object, "Code");
    int result = -1;
    if (code != NULL && strcmp(code, "Success") != 0) {
        const char *message = json_text_at(object, "Message");
        (void)error_set(err, ERROR_SYSTEM, 0, "%s: %.100s%s%.300s", source, code,
                        message == NULL ? "" : ": ", message == NULL ? "" : message);
    } else {
        result = aws_credentials_set(search->out, &texts, source, err) < 0 ? -1 : 1;
    }
    json_delete_wiped(object);
    return result;
}

int aws_read_token_file(const char *path, struct buffer *out, struct error *err)
{
    if (fd_read_file(path, out, err) < 0) {
        err->kind = ERROR_USAGE;
        return -1;
    }
    while (out->length > 0 && strchr(" \t\r\n", out->bytes[out->length - 1]) != NULL) {
        out->bytes[--out->length] = '\0';
    }
    if (out->length == 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is empty", path);
    }
    return 0;
}
