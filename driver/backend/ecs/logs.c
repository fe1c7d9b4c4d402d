/* SPDX-License-Identifier: MIT */
/* The log of a task's job container, from CloudWatch Logs, where its definition sends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/ecs/client.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/log_events.h"
#include "driver/backend/log_lines.h"
#include "driver/base/json.h"

#define PAGE_CEILING 200 /* of GetLogEvents, up to 10,000 events or 1 MB each */
#define TOKEN_BYTES  1024

static int call(struct aws_client *client, const char *operation, cJSON *request, bool ok,
                int64_t deadline_ms, cJSON **out_answer, struct error *err)
{
    struct aws_failure failure;
    int result = ok ? aws_ecs(client, operation, request, deadline_ms, out_answer, &failure, err)
                    : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot call %s", operation);
    cJSON_Delete(request);
    return result;
}

/* The task's definition, by the task: a later revision may log elsewhere. */
static int definition_of(struct aws_client *client, const struct metadata *metadata,
                         int64_t deadline_ms, cJSON **out_answer, struct error *err)
{
    bool ok = true;
    cJSON *tasks = NULL;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "cluster", ecs_state_text(metadata, "cluster"), &ok);
    json_append(json_array(request, "tasks", &ok), ecs_state_text(metadata, "arn"), &ok);
    if (call(client, "DescribeTasks", request, ok, deadline_ms, &tasks, err) < 0) {
        return -1;
    }
    const char *arn =
        json_text_at(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(tasks, "tasks"), 0),
                     "taskDefinitionArn");
    int result = 0;
    if (arn == NULL) {
        result = error_set(err, ERROR_SYSTEM, 0, "ECS no longer lists the task");
    } else {
        request = cJSON_CreateObject();
        json_text(request, "taskDefinition", arn, &ok);
        result = call(client, "DescribeTaskDefinition", request, ok, deadline_ms, out_answer, err);
    }
    cJSON_Delete(tasks);
    return result;
}

static int find_place(const cJSON *answer, const char *container, const char *arn,
                      struct ecs_log_place *out_place, struct error *err)
{
    if (ecs_log_place_find(json_at(answer, "taskDefinition"), container, arn, NULL, out_place)) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "the task definition sends no log of the container '%s' to CloudWatch",
                    container);
    return error_hint(err, "give it a logConfiguration with awslogs-group and "
                           "awslogs-stream-prefix");
}

static void print_events(const cJSON *answer, FILE *out)
{
    const cJSON *event;
    cJSON_ArrayForEach(event, cJSON_GetObjectItemCaseSensitive(answer, "events"))
    {
        const char *message = json_text_or_empty(event, "message");
        log_lines_print(out, message, strlen(message));
    }
}

/* Pages until the token stays the same, which is the end. */
static int print_all(struct aws_client *client, const struct ecs_log_place *place, FILE *out,
                     int64_t deadline_ms, struct error *err)
{
    char token[TOKEN_BYTES] = "";
    for (int i = 0; i < PAGE_CEILING; i++) {
        struct aws_failure failure;
        cJSON *answer = NULL;
        const struct ecs_log_page page = {.token = token};
        if (ecs_log_events(client, place->group, place->stream, &page, deadline_ms, &answer,
                           &failure, err) < 0) {
            return -1;
        }
        const char *next = json_text_or_empty(answer, "nextForwardToken");
        bool last = next[0] == '\0' || strlen(next) >= sizeof(token) || strcmp(next, token) == 0;
        print_events(answer, out);
        (void)snprintf(token, sizeof(token), "%.*s", (int)sizeof(token) - 1, next);
        cJSON_Delete(answer);
        if (last) {
            return 0;
        }
    }
    return 0;
}

int ecs_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
{
    struct ecs_log_place place;
    cJSON *answer = NULL;
    const char *arn = ecs_state_text(task->metadata, "arn");
    struct aws_client *client =
        arn == NULL ? NULL : ecs_client_new(task->config, task->signals, err);
    if (client == NULL) {
        return arn == NULL ? error_set(err, ERROR_USAGE, 0, "no task was started") : -1;
    }
    int result = definition_of(client, task->metadata, deadline_ms, &answer, err);
    if (result == 0) {
        result = find_place(answer, task->config->fargate.container_name, arn, &place, err);
    }
    if (result == 0) {
        result = print_all(client, &place, out, deadline_ms, err);
    }
    cJSON_Delete(answer);
    aws_client_free(client);
    return result < 0 ? error_wrap(err, "cannot read the log of the task") : 0;
}
