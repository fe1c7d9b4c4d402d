/* SPDX-License-Identifier: MIT */
#include "driver/runner/runner.h"

#include <cjson/cJSON.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "common/parse.h"
#include "driver/base/json.h"
#include "driver/base/program.h"

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
                         "%s is '%s', not an exit code from 1 to 255; GitLab Runner sets it, so "
                         "check what changes the runner's environment",
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
    char full[512];
    int length = snprintf(full, sizeof(full), "CUSTOM_ENV_%s", name);
    return length < 0 || (size_t)length >= sizeof(full) ? NULL : environment(full);
}

bool runner_flag(const char *name)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    const char *value = runner_variable(name);
    for (size_t i = 0; value != NULL && i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcmp(value, yes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What identifies a job, hashed: the token never leaves this file. */
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

int runner_read_response(const struct runner *runner, cJSON **out_response, struct error *err)
{
    struct buffer text;
    cJSON *response = NULL;
    *out_response = NULL;
    if (runner->response_file == NULL) {
        return 0;
    }
    buffer_init(&text, RUNNER_RESPONSE_CEILING_BYTES);
    int result = fd_read_file(runner->response_file, &text, err);
    if (result < 0) {
        (void)error_wrap(err, "cannot read JOB_RESPONSE_FILE");
    } else {
        response = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
        result = cJSON_IsObject(response)
                     ? 0
                     : error_set(err, ERROR_SYSTEM, 0,
                                 "JOB_RESPONSE_FILE '%s' is not a valid JSON object",
                                 runner->response_file);
    }
    buffer_done(&text);
    if (result < 0) {
        json_delete_wiped(response);
        return -1;
    }
    *out_response = response;
    return 0;
}

static int identity_from_file(struct identity *identity, const struct runner *runner,
                              struct error *err)
{
    cJSON *response = NULL;
    if (runner_read_response(runner, &response, err) < 0) {
        return -1;
    }
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(response, "id");
    const char *token = json_text_at(response, "token");
    int result = 0;
    if (!cJSON_IsNumber(id) || id->valuedouble < 0 || id->valuedouble > 9e15 || token == NULL) {
        result = error_set(err, ERROR_SYSTEM, 0,
                           "JOB_RESPONSE_FILE '%s' has no job with 'id' and 'token'",
                           runner->response_file);
    } else {
        identity->id = (int64_t)id->valuedouble;
        identity_add(identity, token);
    }
    json_delete_wiped(response);
    return result;
}

int64_t runner_job_timeout_s(const struct runner *runner)
{
    struct error ignored;
    int64_t timeout_s = 0;
    const char *variable = runner_variable("CI_JOB_TIMEOUT");
    cJSON *response = NULL;
    if (runner_read_response(runner, &response, &ignored) == 0) {
        const cJSON *item = json_at(response, "runner_info.timeout");
        if (cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < INT32_MAX) {
            timeout_s = (int64_t)item->valuedouble;
        }
        json_delete_wiped(response);
    }
    if (timeout_s == 0 &&
        (variable == NULL || parse_integer(variable, 1, INT32_MAX, &timeout_s) < 0)) {
        return 0;
    }
    return timeout_s;
}

void runner_job_keywords(const struct runner *runner, char *out, size_t room)
{
    struct error ignored;
    const char *image = runner_variable("CI_JOB_IMAGE");
    const char *services = runner_variable("CI_JOB_SERVICES");
    cJSON *response = NULL;
    if (runner_read_response(runner, &response, &ignored) < 0) {
        response = NULL; /* the stage reports it */
    }
    cJSON *list = services == NULL ? NULL : cJSON_Parse(services);
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (response != NULL) {
        image = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(response, "image"), "name"));
        count = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(response, "services"));
    }
    bool has_image = image != NULL && image[0] != '\0';
    int used = has_image ? snprintf(out, room, "'image: %.200s'", image) : 0;
    out[has_image ? used : 0] = '\0';
    if (count > 0) {
        (void)snprintf(out + used, room - (size_t)used, "%s%d 'services:'",
                       has_image ? " and " : "", count);
    }
    cJSON_Delete(list);
    json_delete_wiped(response);
}

static int identity_from_variables(struct identity *identity, struct error *err)
{
    const char *id = runner_variable("CI_JOB_ID");
    if (id == NULL) {
        return error_set(
            err, ERROR_USAGE, 0,
            "no job: neither JOB_RESPONSE_FILE nor CUSTOM_ENV_CI_JOB_ID is set; GitLab Runner runs "
            "this command; to try a configuration manually, use '%s exec'",
            program_name());
    }
    if (parse_integer(id, 0, INT64_MAX, &identity->id) < 0) {
        identity->id = 0; /* not a number: its text still counts in the hash */
    }
    identity_add(identity, runner_variable("CI_SERVER_URL"));
    identity_add(identity, id);
    identity_add(identity, runner_variable("CI_JOB_TOKEN"));
    return 0;
}

static int find_job_key(const struct runner *runner, char out_key[RUNNER_JOB_KEY_BYTES],
                        struct error *err)
{
    struct identity identity = {.id = 0};
    (void)crypto_generichash_init(&identity.hash, NULL, 0, crypto_generichash_BYTES);
    int result = runner->response_file != NULL ? identity_from_file(&identity, runner, err)
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

int runner_job_key(struct runner *runner, char out_key[RUNNER_JOB_KEY_BYTES], struct error *err)
{
    if (runner->job_key[0] == '\0' && find_job_key(runner, runner->job_key, err) < 0) {
        return -1;
    }
    memcpy(out_key, runner->job_key, RUNNER_JOB_KEY_BYTES);
    return 0;
}
