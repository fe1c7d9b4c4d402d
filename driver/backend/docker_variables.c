/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_variables.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/json.h"
#include "driver/runner.h"

static void append_public(const cJSON *response, cJSON *list, bool *ok)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(response, "variables"))
    {
        const char *key = json_text_at(variable, "key");
        bool usable = key != NULL && json_true_at(variable, "public") &&
                      !json_true_at(variable, "masked") && !json_true_at(variable, "file");
        const char *value = usable && strlen(key) < 100 ? runner_variable(key) : NULL;
        if (value != NULL) {
            json_append_format(list, ok, "%s=%s", key, value);
        }
    }
}

/* cJSON frees texts as they are; the values of the variables are the secrets in there. */
static void delete_response(cJSON *response)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(response, "variables"))
    {
        const cJSON *value = json_at(variable, "value");
        if (cJSON_IsString(value)) {
            sodium_memzero(value->valuestring, strlen(value->valuestring));
        }
    }
    cJSON_Delete(response);
}

void docker_variables_public(cJSON *list, bool *ok)
{
    struct runner runner;
    struct error err;
    struct buffer text;
    if (runner_read(&runner, &err) < 0 || runner.response_file == NULL) {
        return;
    }
    buffer_init(&text, RUNNER_RESPONSE_CEILING_BYTES);
    if (fd_read_file(runner.response_file, &text, &err) < 0) {
        log_warn("the services get no variables of the job: %s", err.message);
    } else if (text.length > 0) {
        cJSON *response = cJSON_ParseWithLength(text.bytes, text.length);
        append_public(response, list, ok);
        delete_response(response);
    }
    buffer_done(&text);
}
