/* SPDX-License-Identifier: MIT */
#include "driver/aws/credentials.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/fd.h"
#include "driver/aws/client.h"
#include "driver/aws/sources.h"

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

int aws_source_environment(struct aws_search *search, struct error *err)
{
    struct aws_credentials_texts texts = {
        .key_id = aws_environment("AWS_ACCESS_KEY_ID"),
        .secret = aws_environment("AWS_SECRET_ACCESS_KEY"),
        .token = aws_environment("AWS_SESSION_TOKEN"),
        .expiration = aws_environment("AWS_CREDENTIAL_EXPIRATION"),
    };
    if (texts.token == NULL) {
        texts.token = aws_environment("AWS_SECURITY_TOKEN"); /* its old name */
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

int aws_source_profile(struct aws_search *search, const char *profile, struct error *err)
{
    int found = aws_source_web_identity(search, profile, false, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CREDENTIALS_FILE, profile, err);
    found = found != 0 ? found : aws_source_process(search, profile, err);
    return found != 0 ? found : aws_source_keys(search, AWS_CONFIG_FILE, profile, err);
}

static const char *string_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* cJSON has its own copies of the secrets. */
static void wipe_json(cJSON *object)
{
    cJSON *item = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (cJSON_IsString(item)) {
            sodium_memzero(item->valuestring, strlen(item->valuestring));
        }
    }
    cJSON_Delete(object);
}

int aws_source_read_json(struct aws_search *search, const char *text, size_t length,
                         const char *token_name, const char *source, struct error *err)
{
    cJSON *object = text == NULL ? NULL : cJSON_ParseWithLength(text, length);
    if (!cJSON_IsObject(object)) {
        wipe_json(object);
        return error_set(err, ERROR_PEER, 0, "%s: no JSON object in %zu bytes", source, length);
    }
    struct aws_credentials_texts texts = {
        .key_id = string_of(object, "AccessKeyId"),
        .secret = string_of(object, "SecretAccessKey"),
        .token = string_of(object, token_name),
        .expiration = string_of(object, "Expiration"),
    };
    const char *code = string_of(object, "Code");
    int result = -1;
    if (code != NULL && strcmp(code, "Success") != 0) {
        const char *message = string_of(object, "Message");
        (void)error_set(err, ERROR_SYSTEM, 0, "%s: %.100s%s%.300s", source, code,
                        message == NULL ? "" : ": ", message == NULL ? "" : message);
    } else {
        result = aws_credentials_set(search->out, &texts, source, err) < 0 ? -1 : 1;
    }
    wipe_json(object);
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

/* The order of botocore. A profile that the configuration names is meant to win over keys that
 * happen to be in the environment. */
static int search_all(struct aws_search *search, struct error *err)
{
    const char *profile = aws_profiles_chosen(search->profiles);
    bool environment = search->client->config->aws_profile == NULL;
    int found = environment ? aws_source_environment(search, err) : 0;
    found = found != 0 ? found : aws_source_role(search, profile, err);
    found = found != 0 ? found : aws_source_web_identity(search, profile, environment, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CREDENTIALS_FILE, profile, err);
    found = found != 0 ? found : aws_source_process(search, profile, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CONFIG_FILE, profile, err);
    found = found != 0 ? found : aws_source_container(search, err);
    return found != 0 ? found : aws_source_metadata(search, err);
}

int aws_credentials_find(struct aws_client *client, int64_t deadline_ms,
                         struct aws_credentials *out, struct error *err)
{
    /* Read again each time: whoever rotates keys writes them into these files. */
    struct aws_profiles *profiles = aws_profiles_load(client->config->aws_profile, err);
    if (profiles == NULL) {
        return -1;
    }
    struct aws_search search = {
        .client = client, .profiles = profiles, .deadline_ms = deadline_ms, .out = out};
    int found = search_all(&search, err);
    const char *profile = aws_profiles_chosen(profiles);
    if (found == 0) {
        bool sso = aws_profile_get(profiles, profile, "sso_session") != NULL ||
                   aws_profile_get(profiles, profile, "sso_start_url") != NULL;
        (void)error_set(err, ERROR_USAGE, 0,
                        sso ? "profile '%s' logs in by IAM Identity Center, which needs a person; "
                              "give the runner a role instead"
                            : "no AWS credentials in the environment, profile '%s', a container's "
                              "or an instance's metadata; give the runner's machine a role, or set "
                              "[AWS] Profile",
                        profile);
    }
    aws_profiles_free(profiles);
    return found == 1 ? 0 : -1;
}
