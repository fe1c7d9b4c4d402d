/* SPDX-License-Identifier: MIT */
/* Credentials from STS: AssumeRole with the credentials of another source, and
 * AssumeRoleWithWebIdentity with a token from a file. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"
#include "driver/aws/query_form.h"
#include "driver/aws/sources.h"
#include "driver/base/json.h"

#define SESSION_NAME        "berth-driver" /* shown by CloudTrail */
#define TOKEN_CEILING_BYTES (20UL << 10)
#define TAG_CEILING         50 /* of STS, for session tags */
#define TAG_NAME_BYTES      64
#define PARAMETER_CEILING   (2 * (8 + 2 * TAG_CEILING) + 1)

/* The parameters of one call, with memory for the names of tags. */
struct parameters {
    const char *words[PARAMETER_CEILING];
    size_t count;
    char names[2 * TAG_CEILING][TAG_NAME_BYTES];
    char keys[TAG_CEILING][129]; /* STS takes keys of 128 characters */
};

static void add(struct parameters *parameters, const char *name, const char *value)
{
    if (value != NULL && parameters->count + 2 < PARAMETER_CEILING) {
        parameters->words[parameters->count++] = name;
        parameters->words[parameters->count++] = value;
        parameters->words[parameters->count] = NULL;
    }
}

/* [AWS] SessionTags: "key=value" each. */
static int add_tags(struct parameters *parameters, const struct aws_options *options,
                    struct error *err)
{
    if (options->session_tag_count > TAG_CEILING) {
        return error_set(err, ERROR_USAGE, 0, "[AWS] SessionTags: more than %d tags", TAG_CEILING);
    }
    for (size_t i = 0; i < options->session_tag_count; i++) {
        const char *entry = options->session_tags[i];
        const char *equals = strchr(entry, '=');
        size_t length = equals == NULL ? 0 : (size_t)(equals - entry);
        if (length == 0 || length >= sizeof(parameters->keys[i])) {
            return error_set(err, ERROR_USAGE, 0,
                             "[AWS] SessionTags: '%.100s' is not of the form key=value", entry);
        }
        (void)snprintf(parameters->keys[i], sizeof(parameters->keys[i]), "%.*s", (int)length,
                       entry);
        (void)snprintf(parameters->names[2 * i], TAG_NAME_BYTES, "Tags.member.%zu.Key", i + 1);
        (void)snprintf(parameters->names[2 * i + 1], TAG_NAME_BYTES, "Tags.member.%zu.Value",
                       i + 1);
        add(parameters, parameters->names[2 * i], parameters->keys[i]);
        add(parameters, parameters->names[2 * i + 1], equals + 1);
    }
    return 0;
}

/* Calls STS without the client's credentials: with 'base', or unsigned if that is NULL. */
static int send_to_sts(struct aws_search *search, const char *operation,
                       const struct parameters *parameters, const struct aws_credentials *base,
                       cJSON **out_answer, struct error *err)
{
    struct aws_exchange exchange;
    struct buffer form;
    buffer_init(&form, AWS_QUERY_FORM_BYTES);
    struct aws_call call = {.client = search->client,
                            .exchange = &exchange,
                            .credentials = base,
                            .deadline_ms = search->deadline_ms};
    int result =
        aws_query_form(&form, AWS_SERVICE_STS, operation, parameters->words, &exchange, err) < 0 ||
                aws_exchange_open(&call, err) < 0 || aws_exchange_run(&call, out_answer, err) < 0
            ? -1
            : 0;
    if (result < 0 && call.failure.permanent) {
        err->kind = ERROR_USAGE;
    }
    buffer_done(&form);
    return result;
}

/* Calls STS and stores the credentials. Returns 1 or -1. */
static int call_sts(struct aws_search *search, const char *operation,
                    const struct parameters *parameters, const struct aws_credentials *base,
                    const char *source, struct error *err)
{
    char result_name[64];
    cJSON *answer = NULL;
    if (send_to_sts(search, operation, parameters, base, &answer, err) < 0) {
        return error_wrap(err, "%s", source);
    }
    (void)snprintf(result_name, sizeof(result_name), "%sResult", operation);
    const cJSON *got = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(answer, result_name), "Credentials");
    struct aws_credentials_texts texts = {
        .key_id = json_text_at(got, "AccessKeyId"),
        .secret = json_text_at(got, "SecretAccessKey"),
        .token = json_text_at(got, "SessionToken"),
        .expiration = json_text_at(got, "Expiration"),
    };
    int result = aws_credentials_set(search->out, &texts, source, err) < 0 ? -1 : 1;
    json_delete_wiped(answer);
    return result;
}

int aws_source_web_identity(struct aws_search *search, const char *profile, bool environment,
                            struct error *err)
{
    const char *file = aws_source_setting(search, profile, "AWS_WEB_IDENTITY_TOKEN_FILE",
                                          "web_identity_token_file", environment);
    const char *role = aws_source_setting(search, profile, "AWS_ROLE_ARN", "role_arn", environment);
    const char *session = aws_source_setting(search, profile, "AWS_ROLE_SESSION_NAME",
                                             "role_session_name", environment);
    struct buffer token;
    char source[160];
    if (file == NULL) {
        return 0;
    }
    if (role == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
    }
    buffer_init(&token, TOKEN_CEILING_BYTES);
    if (aws_read_token_file(file, &token, err) < 0) {
        buffer_done(&token);
        return error_wrap(err, "cannot read the web identity token");
    }
    struct parameters parameters = {.count = 0};
    add(&parameters, "RoleArn", role);
    add(&parameters, "RoleSessionName", session != NULL ? session : SESSION_NAME);
    add(&parameters, "WebIdentityToken", token.bytes);
    (void)snprintf(source, sizeof(source), "role '%.100s' by web identity", role);
    int found = call_sts(search, "AssumeRoleWithWebIdentity", &parameters, NULL, source, err);
    buffer_done(&token);
    return found;
}

/* All sources inside a profile but roles. */
static int from_profile(struct aws_search *search, const char *profile, struct error *err)
{
    int found = aws_source_web_identity(search, profile, false, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CREDENTIALS_FILE, profile, err);
    found = found != 0 ? found : aws_source_process(search, profile, err);
    return found != 0 ? found : aws_source_keys(search, AWS_CONFIG_FILE, profile, err);
}

static int enter(struct aws_search *search, const char *profile, struct error *err)
{
    if (search->visited_count == AWS_ROLE_CHAIN_CEILING) {
        return error_set(err, ERROR_USAGE, 0,
                         "profile '%s': source_profile forms a chain of more than %d profiles",
                         profile, AWS_ROLE_CHAIN_CEILING);
    }
    for (size_t i = 0; i < search->visited_count; i++) {
        if (strcmp(search->visited[i], profile) == 0) {
            return error_set(err, ERROR_USAGE, 0, "profile '%s': source_profile forms a loop",
                             profile);
        }
    }
    search->visited[search->visited_count++] = profile;
    return 0;
}

static int from_credential_source(struct aws_search *search, const char *name, const char *profile,
                                  struct error *err)
{
    static const struct {
        const char *name;
        int (*find)(struct aws_search *search, struct error *err);
    } rows[] = {
        {"Environment", aws_source_environment},
        {"EcsContainer", aws_source_container},
        {"Ec2InstanceMetadata", aws_source_metadata},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcasecmp(rows[i].name, name) == 0) {
            int found = rows[i].find(search, err);
            return found != 0 ? found
                              : error_set(err, ERROR_USAGE, 0,
                                          "profile '%s': credential_source '%s' has no credentials",
                                          profile, name);
        }
    }
    return error_set(err, ERROR_USAGE, 0,
                     "profile '%s': credential_source '%.60s' is not one of Environment, "
                     "EcsContainer, Ec2InstanceMetadata",
                     profile, name);
}

static bool has_keys(const struct aws_search *search, const char *profile)
{
    return aws_profile_get(search->profiles, profile, "aws_access_key_id") != NULL ||
           aws_profile_get(search->profiles, profile, "aws_secret_access_key") != NULL;
}

static bool has_role(const struct aws_search *search, const char *profile)
{
    return aws_profile_get(search->profiles, profile, "role_arn") != NULL &&
           aws_profile_get(search->profiles, profile, "web_identity_token_file") == NULL;
}

/* The credentials that assume the role. */
static int from_source_profile(struct aws_search *search, const char *source, const char *profile,
                               struct error *err)
{
    if (!aws_profile_exists(search->profiles, source)) {
        return error_set(err, ERROR_USAGE, 0, "profile '%s': source_profile '%s' does not exist",
                         profile, source);
    }
    /* A profile with keys may refer to itself. */
    if (has_keys(search, source) || !has_role(search, source)) {
        int found = from_profile(search, source, err);
        return found != 0 ? found
                          : error_set(err, ERROR_USAGE, 0,
                                      "profile '%s': source_profile '%s' has no credentials",
                                      profile, source);
    }
    return aws_source_role(search, source, err);
}

static int find_base(struct aws_search *search, const char *profile, struct error *err)
{
    const char *source = aws_profile_get(search->profiles, profile, "source_profile");
    const char *named = aws_profile_get(search->profiles, profile, "credential_source");
    if ((source == NULL) == (named == NULL)) {
        return error_set(err, ERROR_USAGE, 0,
                         "profile '%s': role_arn needs source_profile or credential_source%s",
                         profile, source == NULL ? "" : ", not both");
    }
    return source != NULL ? from_source_profile(search, source, profile, err)
                          : from_credential_source(search, named, profile, err);
}

static int assume(struct aws_search *search, const char *profile,
                  const struct aws_credentials *base, bool last, struct error *err)
{
    const struct aws_profiles *profiles = search->profiles;
    const char *role = aws_profile_get(profiles, profile, "role_arn");
    const char *session = aws_profile_get(profiles, profile, "role_session_name");
    struct parameters parameters = {.count = 0};
    char source[160];
    add(&parameters, "RoleArn", role);
    add(&parameters, "RoleSessionName", session != NULL ? session : SESSION_NAME);
    add(&parameters, "DurationSeconds", aws_profile_get(profiles, profile, "duration_seconds"));
    add(&parameters, "ExternalId", aws_profile_get(profiles, profile, "external_id"));
    /* Only the last role of a chain gets the tags. */
    if (last && add_tags(&parameters, &search->client->options, err) < 0) {
        return -1;
    }
    (void)snprintf(source, sizeof(source), "role '%.100s' of profile '%.30s'", role, profile);
    return call_sts(search, "AssumeRole", &parameters, base, source, err);
}

int aws_source_role(struct aws_search *search, const char *profile, struct error *err)
{
    if (!has_role(search, profile)) {
        return 0;
    }
    if (aws_profile_get(search->profiles, profile, "mfa_serial") != NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "profile '%s': mfa_serial needs an interactive login",
                        profile);
        return error_hint(err, "use a role without MFA");
    }
    bool last = search->visited_count == 0;
    if (enter(search, profile, err) < 0) {
        return -1;
    }
    struct aws_credentials *wanted = search->out;
    struct aws_credentials base = {0};
    search->out = &base;
    int found = find_base(search, profile, err);
    search->out = wanted;
    if (found == 1) {
        found = assume(search, profile, &base, last, err);
    }
    aws_credentials_done(&base);
    return found;
}
