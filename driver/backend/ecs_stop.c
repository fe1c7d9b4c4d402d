/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/clock.h"
#include "common/parse.h"
#include "driver/backend/ecs.h"
#include "driver/runner.h"

#define LIST_PAUSE_MS 1000
/* For so long after RunTask a task that it started may be missing in ListTasks. */
#define LIST_PATIENCE_S 15

/* A word that a task of the past gets: ECS forgets stopped tasks after an hour. */
static bool is_gone(const struct aws_failure *failure, const struct error *err)
{
    return strcmp(failure->code, "InvalidParameterException") == 0 &&
           strcasestr(err->message, "task was not found") != NULL;
}

int ecs_stop_one(struct aws_client *client, const char *cluster, const char *arn,
                 const char *reason, int64_t deadline_ms, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    if (request == NULL || cJSON_AddStringToObject(request, "cluster", cluster) == NULL ||
        cJSON_AddStringToObject(request, "task", arn) == NULL ||
        cJSON_AddStringToObject(request, "reason", reason) == NULL) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot stop task %s", arn);
    }
    int result = aws_ecs(client, "StopTask", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    cJSON_Delete(answer);
    if (result < 0 && is_gone(&failure, err)) {
        return 0;
    }
    return result < 0 ? error_wrap(err, "cannot stop task %s, which may go on and cost", arn) : 0;
}

static cJSON *list_request(const char *cluster, const char *started_by)
{
    cJSON *request = cJSON_CreateObject();
    if (request == NULL || cJSON_AddStringToObject(request, "cluster", cluster) == NULL ||
        cJSON_AddStringToObject(request, "startedBy", started_by) == NULL) {
        cJSON_Delete(request);
        return NULL;
    }
    return request;
}

/* Stops what ListTasks knows by startedBy: every attempt of this job. Returns how many. */
static int stop_started_by(struct aws_client *client, const char *cluster, const char *started_by,
                           const char *reason, int64_t deadline_ms, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    cJSON *request = list_request(cluster, started_by);
    const cJSON *arn;
    int count = 0;
    if (request == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot look for the task");
    }
    int result = aws_ecs(client, "ListTasks", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        return error_wrap(err,
                          "cannot look for a task that was started by '%s', which may go on "
                          "and cost",
                          started_by);
    }
    cJSON_ArrayForEach(arn, cJSON_GetObjectItemCaseSensitive(answer, "taskArns"))
    {
        if (cJSON_IsString(arn)) {
            count++;
            result = ecs_stop_one(client, cluster, arn->valuestring, reason, deadline_ms, err) < 0
                         ? -1
                         : result;
        }
    }
    cJSON_Delete(answer);
    return result < 0 ? -1 : count;
}

/* prepare died between RunTask and its answer: the task shows up within seconds, or never was. */
static int search_and_stop(struct aws_client *client, const struct metadata *metadata,
                           const char *reason, int64_t deadline_ms, struct error *err)
{
    int64_t asked_s = 0;
    const char *asked = ecs_state_text(metadata, "asked_at");
    if (asked == NULL || parse_integer(asked, 0, INT64_MAX, &asked_s) < 0) {
        return 0; /* nothing was ever asked of ECS */
    }
    for (;;) {
        int64_t age_s = (int64_t)time(NULL) - asked_s;
        int found =
            stop_started_by(client, ecs_state_text(metadata, "cluster"),
                            ecs_state_text(metadata, "started_by"), reason, deadline_ms, err);
        if (found != 0 || age_s < 0 || age_s > LIST_PATIENCE_S) {
            return found < 0 ? -1 : 0;
        }
        if (clock_deadline_ms(LIST_PAUSE_MS) > deadline_ms) {
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                             "a task that RunTask may have started does not show up; look for one "
                             "started by '%s'",
                             ecs_state_text(metadata, "started_by"));
        }
        (void)signals_wait(NULL, -1, clock_deadline_ms(LIST_PAUSE_MS));
    }
}

static void write_reason(const struct metadata *metadata, char out[ECS_REASON_CEILING + 1])
{
    const char *url = ecs_state_text(metadata, "url");
    (void)snprintf(out, ECS_REASON_CEILING + 1, "berth-driver: cleanup of %s",
                   url != NULL ? url : metadata->job);
}

int ecs_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    char reason[ECS_REASON_CEILING + 1];
    const struct metadata *metadata = task->metadata;
    const char *cluster = ecs_state_text(metadata, "cluster");
    const char *arn = ecs_state_text(metadata, "arn");
    const char *asked = ecs_state_text(metadata, "asked_at");
    if (cluster == NULL || asked == NULL) {
        return 0;
    }
    /* A client of its own: the task's one gives up at the request to stop that led here. */
    struct aws_client *client = aws_client_new(task->config, NULL, err);
    if (client == NULL) {
        return error_wrap(err, "cannot stop task %s", arn != NULL ? arn : metadata->job);
    }
    write_reason(metadata, reason);
    int result = arn != NULL ? ecs_stop_one(client, cluster, arn, reason, deadline_ms, err)
                             : search_and_stop(client, metadata, reason, deadline_ms, err);
    aws_client_free(client);
    return result;
}

int ecs_stop_listed(const struct config *config, const char *id, const char *reason,
                    int64_t deadline_ms, struct error *err)
{
    struct aws_client *client = aws_client_new(config, NULL, err);
    int result = client == NULL
                     ? -1
                     : ecs_stop_one(client, config->fargate.cluster, id, reason, deadline_ms, err);
    aws_client_free(client);
    return result;
}
