/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/client.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/ecs/registration.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/json.h"

#define CALL_MS          60000
#define PAGE_CEILING     1000 /* of families, 100 each */
#define REVISION_CEILING 1000 /* pages of one family */

struct sweep {
    const struct config *config;
    struct aws_client *client;
    struct signals *signals;
    void (*removed)(const char *arn);
    char prefix[ECS_PREFIX_BYTES];
    int64_t now_s;
    int count;
    bool failed; /* at least one could not be removed */
};

enum bucket { BUCKET_LOOK, BUCKET_REGISTER, BUCKET_DELETE };

static int wait_for(const struct sweep *sweep, enum bucket bucket, struct error *err)
{
    int64_t slot_ms = bucket == BUCKET_REGISTER ? ecs_pace_register(sweep->config)
                      : bucket == BUCKET_DELETE ? ecs_pace_delete(sweep->config)
                                                : ecs_pace_reserve(sweep->config, "describe");
    return signals_wait(sweep->signals, -1, slot_ms) < 0
               ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
               : 0;
}

/* 'request' is taken over. */
static int call(const struct sweep *sweep, enum bucket bucket, const char *operation,
                cJSON *request, bool ok, cJSON **out_answer, struct error *err)
{
    struct aws_failure failure;
    int result = ok ? wait_for(sweep, bucket, err)
                    : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write a request to ECS");
    if (result == 0) {
        result = aws_ecs(sweep->client, operation, request, clock_deadline_ms(CALL_MS), out_answer,
                         &failure, err);
    }
    cJSON_Delete(request);
    return result;
}

/* One that cannot be removed does not keep the others; a request to stop does. */
static int note_failure(struct sweep *sweep, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    if (signals_pending(sweep->signals)) {
        return -1;
    }
    log_error("%s", error_text(err, text));
    sweep->failed = true;
    return 0;
}

static int delete_one(struct sweep *sweep, const char *arn, struct error *err)
{
    bool ok = true;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    json_append(json_array(request, "taskDefinitions", &ok), arn, &ok);
    if (call(sweep, BUCKET_DELETE, "DeleteTaskDefinitions", request, ok, &answer, err) < 0) {
        return -1;
    }
    const cJSON *failure = cJSON_GetArrayItem(json_at(answer, "failures"), 0);
    int result = failure == NULL ? 0
                                 : error_set(err, ERROR_SYSTEM, 0, "cannot delete '%s': %s", arn,
                                             json_text_or_empty(failure, "reason"));
    cJSON_Delete(answer);
    return result;
}

static int remove_one(struct sweep *sweep, const char *arn, bool active, struct error *err)
{
    bool ok = true;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "taskDefinition", arn, &ok);
    if (!active) {
        cJSON_Delete(request);
    } else if (call(sweep, BUCKET_REGISTER, "DeregisterTaskDefinition", request, ok, &answer, err) <
               0) {
        return -1;
    }
    cJSON_Delete(answer);
    if (delete_one(sweep, arn, err) < 0) {
        return -1;
    }
    sweep->count++;
    sweep->removed(arn);
    return 0;
}

/* 1: registered long enough ago; 0: not. */
static int is_old(const struct sweep *sweep, const char *arn, struct error *err)
{
    bool ok = true;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "taskDefinition", arn, &ok);
    if (call(sweep, BUCKET_LOOK, "DescribeTaskDefinition", request, ok, &answer, err) < 0) {
        return -1;
    }
    int64_t registered_s = json_number_at(answer, "taskDefinition.registeredAt");
    cJSON_Delete(answer);
    return registered_s > 0 &&
           sweep->now_s - registered_s > sweep->config->fargate.definition_age_ms / 1000;
}

static int judge(struct sweep *sweep, const char *family, const char *arn, bool active,
                 struct error *err)
{
    const char *name = ecs_short_name(arn);
    size_t length = strlen(family);
    if (strncmp(name, family, length) != 0 || name[length] != ':') {
        return 0; /* another family, whatever was asked for */
    }
    int old = is_old(sweep, arn, err);
    if (old < 0 || (old > 0 && remove_one(sweep, arn, active, err) < 0)) {
        return note_failure(sweep, err);
    }
    if (old > 0) {
        char file[ECS_STORE_NAME_BYTES];
        ecs_registration_file(sweep->client, family, file);
        ecs_store_remove(sweep->config, file);
    }
    return 0;
}

/* Visits each text of the list 'key' in all pages of an operation. */
static int each(struct sweep *sweep, const char *operation, const char *key, const char *prefix,
                const char *status, int page_ceiling,
                int (*visit)(struct sweep *sweep, const char *prefix, const char *status,
                             const char *text, struct error *err),
                struct error *err)
{
    char *next = NULL;
    int result = 0;
    for (int page = 0; result == 0 && (page == 0 || next != NULL); page++) {
        bool ok = true;
        const cJSON *item = NULL;
        cJSON *answer = NULL;
        cJSON *request = cJSON_CreateObject();
        json_text(request, "familyPrefix", prefix, &ok);
        json_text(request, "status", status, &ok);
        if (next != NULL) {
            json_text(request, "nextToken", next, &ok);
        }
        free(next);
        next = NULL;
        result = call(sweep, BUCKET_LOOK, operation, request, ok, &answer, err);
        const char *token = json_text_or_empty(answer, "nextToken");
        next = token[0] == '\0' || page + 1 >= page_ceiling ? NULL : strdup(token);
        cJSON_ArrayForEach(item, json_at(answer, key))
        {
            if (result == 0 && cJSON_IsString(item)) {
                result = visit(sweep, prefix, status, item->valuestring, err);
            }
        }
        cJSON_Delete(answer);
    }
    free(next);
    return result;
}

static int visit_definition(struct sweep *sweep, const char *family, const char *status,
                            const char *arn, struct error *err)
{
    return judge(sweep, family, arn, strcmp(status, "ACTIVE") == 0, err);
}

/* The inactive ones are those whose deletion failed before. */
static int visit_family(struct sweep *sweep, const char *prefix, const char *status,
                        const char *family, struct error *err)
{
    (void)status;
    if (strncmp(family, prefix, strlen(prefix)) != 0) {
        return 0;
    }
    if (each(sweep, "ListTaskDefinitions", "taskDefinitionArns", family, "ACTIVE", REVISION_CEILING,
             visit_definition, err) < 0 ||
        each(sweep, "ListTaskDefinitions", "taskDefinitionArns", family, "INACTIVE",
             REVISION_CEILING, visit_definition, err) < 0) {
        return note_failure(sweep, err);
    }
    return 0;
}

int ecs_definitions_remove_old(const struct config *config, struct signals *signals,
                               void (*removed)(const char *arn), struct error *err)
{
    struct sweep sweep = {.config = config,
                          .client = ecs_client_new(config, signals, err),
                          .signals = signals,
                          .removed = removed,
                          .now_s = (int64_t)time(NULL)};
    if (sweep.client == NULL) {
        return -1;
    }
    ecs_definition_prefix(aws_client_region(sweep.client), config->fargate.cluster, sweep.prefix);
    ecs_store_sweep(config, config->fargate.definition_age_ms / 1000);
    int result = each(&sweep, "ListTaskDefinitionFamilies", "families", sweep.prefix, "ALL",
                      PAGE_CEILING, visit_family, err);
    aws_client_free(sweep.client);
    if (result == 0 && sweep.failed) {
        result = error_set(err, ERROR_SYSTEM, 0, "not every old task definition could be removed");
    }
    return result < 0 ? -1 : sweep.count;
}
