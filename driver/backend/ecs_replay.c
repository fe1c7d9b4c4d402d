/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "driver/backend/ecs.h"

int ecs_replay_keep(struct metadata *metadata, const char *provider, const char *subnet,
                    const char *token, struct error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, "provider");
    if (provider != NULL && ecs_state_set(metadata, "provider", provider, err) < 0) {
        return -1;
    }
    return ecs_state_set(metadata, "subnet", subnet, err) < 0
               ? -1
               : ecs_state_set(metadata, "client_token", token, err);
}

/* The ARN that an answer names, copied. */
static int read_arn(const cJSON *answer, char out_arn[ECS_ARN_BYTES])
{
    const cJSON *task = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "tasks"), 0);
    const cJSON *arn = cJSON_GetObjectItemCaseSensitive(task, "taskArn");
    if (!cJSON_IsString(arn) || strlen(arn->valuestring) >= ECS_ARN_BYTES) {
        return 0;
    }
    (void)snprintf(out_arn, ECS_ARN_BYTES, "%s", arn->valuestring);
    return 1;
}

int ecs_replay(const struct backend_task *task, struct aws_client *client, int64_t deadline_ms,
               char out_arn[ECS_ARN_BYTES], struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    const char *subnet = ecs_state_text(task->metadata, "subnet");
    const char *token = ecs_state_text(task->metadata, "client_token");
    if (subnet == NULL || token == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "the metadata does not say what RunTask was asked");
    }
    cJSON *request =
        ecs_request_new(task, ecs_state_text(task->metadata, "provider"), subnet, token, err);
    if (request == NULL) {
        return -1;
    }
    int result = aws_ecs(client, "RunTask", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        return -1;
    }
    result = read_arn(answer, out_arn);
    cJSON_Delete(answer);
    log_debug("RunTask with the token '%s' once more: %s", token,
              result == 1 ? out_arn : "it started nothing");
    return result;
}
