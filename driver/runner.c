/* SPDX-License-Identifier: MIT */
#include "driver/runner.h"

#include <cjson/cJSON.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "common/parse.h"

#define KEY_HASH_BYTES 8

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static int read_code(const char *name, int *code, bool *missing, struct error *err)
{
    const char *text = environment(name);
    if (text == NULL) {
        *missing = true;
        return 0;
    }
    int64_t number = 0;
    if (parse_integer(text, 1, 255, &number) < 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "%s is '%s', which is no exit code from 1 to 255; GitLab Runner sets it, "
                         "so look for what changes the runner's environment",
                         name, text);
    }
    *code = (int)number;
    return 0;
}

int runner_read(struct runner *runner, struct error *err)
{
    *runner = (struct runner){
        .build_failure_code = RUNNER_BUILD_FAILURE_DEFAULT,
        .system_failure_code = RUNNER_SYSTEM_FAILURE_DEFAULT,
        .exit_code_file = environment("BUILD_EXIT_CODE_FILE"),
        .response_file = environment("JOB_RESPONSE_FILE"),
    };
    int build = read_code("BUILD_FAILURE_EXIT_CODE", &runner->build_failure_code,
                          &runner->codes_missing, err);
    struct error second;
    int system = read_code("SYSTEM_FAILURE_EXIT_CODE", &runner->system_failure_code,
                           &runner->codes_missing, build < 0 ? &second : err);
    return build < 0 || system < 0 ? -1 : 0;
}

const char *runner_variable(const char *name)
{
    char full[128];
    (void)snprintf(full, sizeof(full), "CUSTOM_ENV_%s", name);
    return environment(full);
}

/* What tells one job from every other, hashed: the token never leaves this file. */
struct identity {
    int64_t id;
    crypto_generichash_state hash;
};

static void identity_add(struct identity *identity, const char *text)
{
    if (text != NULL) {
        (void)crypto_generichash_update(&identity->hash, (const unsigned char *)text,
                                        strlen(text) + 1);
    }
}

static int identity_from_response(struct identity *identity, const cJSON *response,
                                  const char *path, struct error *err)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(response, "id");
    const cJSON *token = cJSON_GetObjectItemCaseSensitive(response, "token");
    if (!cJSON_IsNumber(id) || id->valuedouble < 0 || id->valuedouble > 9e15 ||
        !cJSON_IsString(token)) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "JOB_RESPONSE_FILE '%s' has no job with 'id' and 'token'", path);
    }
    identity->id = (int64_t)id->valuedouble;
    identity_add(identity, token->valuestring);
    return 0;
}

static int identity_from_file(struct identity *identity, const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, RUNNER_RESPONSE_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        (void)error_wrap(err, "cannot read JOB_RESPONSE_FILE");
    } else {
        cJSON *response = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
        result = response == NULL
                     ? error_set(err, ERROR_SYSTEM, 0, "JOB_RESPONSE_FILE '%s' is no JSON", path)
                     : identity_from_response(identity, response, path, err);
        cJSON_Delete(response);
    }
    buffer_done(&text);
    return result;
}

static int identity_from_variables(struct identity *identity, struct error *err)
{
    const char *id = runner_variable("CI_JOB_ID");
    if (id == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "no job: neither JOB_RESPONSE_FILE nor CUSTOM_ENV_CI_JOB_ID is set; "
                         "GitLab Runner starts this command, to try a configuration by hand use "
                         "'berth-driver exec'");
    }
    if (parse_integer(id, 0, INT64_MAX, &identity->id) < 0) {
        identity->id = 0; /* not a number: its text still counts in the hash */
    }
    identity_add(identity, runner_variable("CI_SERVER_URL"));
    identity_add(identity, id);
    identity_add(identity, runner_variable("CI_JOB_TOKEN"));
    return 0;
}

int runner_job_key(const struct runner *runner, char out_key[RUNNER_JOB_KEY_BYTES],
                   struct error *err)
{
    struct identity identity = {.id = 0};
    (void)crypto_generichash_init(&identity.hash, NULL, 0, crypto_generichash_BYTES);
    int result = runner->response_file != NULL
                     ? identity_from_file(&identity, runner->response_file, err)
                     : identity_from_variables(&identity, err);
    if (result < 0) {
        return -1;
    }
    unsigned char hash[crypto_generichash_BYTES];
    char hex[2 * KEY_HASH_BYTES + 1];
    (void)crypto_generichash_final(&identity.hash, hash, sizeof(hash));
    (void)sodium_bin2hex(hex, sizeof(hex), hash, KEY_HASH_BYTES);
    (void)snprintf(out_key, RUNNER_JOB_KEY_BYTES, "job-%lld-%s", (long long)identity.id, hex);
    return 0;
}
