/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/base.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/json.h"

#define FAMILY_AGE_S  300
#define FILE_CEILING  (512UL << 10) /* several times a definition of 64 KiB */
#define KEPT_FOR_EVER 0

/* The answers with and without tags differ. */
static void file_name(const struct aws_client *client, const struct config *config,
                      char out[ECS_STORE_NAME_BYTES])
{
    char about[1024];
    (void)snprintf(about, sizeof(about), "%s\n%d", config->fargate.task_definition,
                   config->fargate.propagate_tags);
    ecs_store_name(client, "base", about, out);
}

/* "FAMILY:7" or an ARN that ends so. */
static bool has_revision(const char *name)
{
    const char *colon = strchr(ecs_short_name(name), ':');
    return colon != NULL && colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0';
}

static cJSON *read_stored(const struct config *config, const char *file)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, FILE_CEILING);
    int64_t ceiling_s =
        has_revision(config->fargate.task_definition) ? KEPT_FOR_EVER : FAMILY_AGE_S;
    if (!ecs_store_read(config, file, ceiling_s, &text, NULL)) {
        return NULL;
    }
    cJSON *base = cJSON_ParseWithLength(text.bytes, text.length);
    if (!cJSON_IsArray(json_at(base, "taskDefinition.containerDefinitions"))) {
        cJSON_Delete(base);
        return NULL; /* damaged: read again */
    }
    return base;
}

static void store(const struct config *config, const char *file, const cJSON *base)
{
    char *text = cJSON_PrintUnformatted(base);
    if (text != NULL) {
        ecs_store_write(config, file, text);
    }
    cJSON_free(text);
}

static int describe(struct aws_client *client, const struct config *config, int64_t deadline_ms,
                    cJSON **out_base, struct error *err)
{
    struct aws_failure failure;
    bool ok = true;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "taskDefinition", config->fargate.task_definition, &ok);
    if (config->fargate.propagate_tags) {
        json_append(json_array(request, "include", &ok), "TAGS", &ok);
    }
    if (!ok) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the task definition");
    }
    int result =
        aws_ecs(client, "DescribeTaskDefinition", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        err->kind = failure.permanent ? ERROR_USAGE : err->kind;
        struct ecs_advice advice = ecs_advice_of_refusal(err->message);
        if (err->hint[0] == '\0' && advice.hint != NULL) {
            (void)error_hint(err, "%s", advice.hint);
        }
        return error_wrap(err, "cannot read the task definition '%s'",
                          config->fargate.task_definition);
    }
    const cJSON *definition = json_at(answer, "taskDefinition");
    if (!cJSON_IsArray(json_at(definition, "containerDefinitions"))) {
        result = error_set(err, ERROR_PEER, 0,
                           "DescribeTaskDefinition of '%s': not a valid AWS response",
                           config->fargate.task_definition);
    } else if (strcmp(json_text_or_empty(definition, "status"), "INACTIVE") == 0) {
        (void)error_set(err, ERROR_USAGE, 0, "the task definition '%s' is INACTIVE",
                        config->fargate.task_definition);
        result = error_hint(err, "register it again, or name another revision");
    }
    if (result < 0) {
        cJSON_Delete(answer);
        return -1;
    }
    *out_base = answer;
    return 0;
}

int ecs_base_read(struct aws_client *client, const struct config *config, struct signals *signals,
                  int64_t deadline_ms, cJSON **out_base, struct error *err)
{
    char file[ECS_STORE_NAME_BYTES];
    file_name(client, config, file);
    *out_base = read_stored(config, file);
    if (*out_base != NULL) {
        return 0;
    }
    cleanup_fd int lock = ecs_store_lock(config, file, signals, deadline_ms);
    *out_base = lock < 0 ? NULL : read_stored(config, file);
    if (*out_base != NULL) {
        return 0;
    }
    if (ecs_pace_wait(signals, ecs_pace_reserve(config, "describe"), deadline_ms, err) < 0) {
        return -1;
    }
    log_debug("reading the task definition '%s'", config->fargate.task_definition);
    if (describe(client, config, deadline_ms, out_base, err) < 0) {
        return -1;
    }
    store(config, file, *out_base);
    return 0;
}
