/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend/ecs/client.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/runner/runner.h"

#define LIST_PAUSE_MS 1000
/* How long ListTasks may not show a new task. */
#define LIST_MISSING_S 15
/* Far longer than a request can be in transit; ECS keeps client tokens for a day. */
#define REPLAY_AGE_S 600

/* ECS forgets stopped tasks after an hour. */
static bool is_gone(const struct aws_failure *failure, const struct error *err)
{
    return strcmp(failure->code, "InvalidParameterException") == 0 &&
           strcasestr(err->message, "task was not found") != NULL;
}

/* StopTask; a task that is gone is success. */
static int stop_task(struct aws_client *client, const char *cluster, const char *arn,
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
    return result < 0
               ? error_wrap(err, "cannot stop task %s; it may keep running and incur charges", arn)
               : 0;
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

/* Stops all tasks that ListTasks finds by startedBy: every attempt of this job. Returns how many.
 */
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
                          "cannot look for a task started by '%s'; it may keep running and incur "
                          "charges",
                          started_by);
    }
    cJSON_ArrayForEach(arn, cJSON_GetObjectItemCaseSensitive(answer, "taskArns"))
    {
        if (cJSON_IsString(arn)) {
            count++;
            result = stop_task(client, cluster, arn->valuestring, reason, deadline_ms, err) < 0
                         ? -1
                         : result;
        }
    }
    cJSON_Delete(answer);
    return result < 0 ? -1 : count;
}

/* A search for a task of a RunTask without an answer, as after a killed prepare. */
struct stop_search {
    const struct backend_task *task;
    struct aws_client *client;
    const char *reason;
    int64_t asked_s; /* Unix time of the last RunTask */
    int64_t deadline_ms;
    bool replayed;
};

/* The request as it was sent; metadata of earlier versions has only what it was made from. */
static cJSON *first_request(const struct backend_task *task, struct error *err)
{
    const cJSON *whole = cJSON_GetObjectItemCaseSensitive(task->metadata->state, ECS_STATE_REQUEST);
    struct ecs_placement ask = {.form = ecs_state_text(task->metadata, "form"),
                                .provider = ecs_state_text(task->metadata, "provider"),
                                .subnet = ecs_state_text(task->metadata, "subnet"),
                                .token = ecs_state_text(task->metadata, "client_token")};
    if (cJSON_IsObject(whole)) {
        cJSON *copy = cJSON_Duplicate(whole, 1);
        if (copy == NULL) {
            (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot repeat the RunTask request");
        }
        return copy;
    }
    if (ask.subnet == NULL || ask.token == NULL) {
        (void)error_set(err, ERROR_SYSTEM, 0, "the metadata lacks the parameters of RunTask");
        return NULL;
    }
    return ecs_request_new(task, &ask, err);
}

/* RunTask again with the token and parameters of the first request: 1 and the ARN, 0 when ECS says
 * that nothing was started, -1 when it is not known.
 *
 * A RunTask without an answer is looked for in two ways. ListTasks by startedBy starts nothing and
 * finds every attempt, but shows a task only some seconds after RunTask. RunTask with the same
 * token names the task at once; where the first request never arrived it starts the task, which is
 * then stopped, and uses up the token: a request still in a socket's buffer starts nothing any
 * more. So the list is asked first, the token second, and the list again where the replay has no
 * answer either. A token holds for a day (ECS API Reference, Ensuring idempotency); a replay that
 * differs from the first request, because the configuration has changed, is refused by ECS and
 * starts nothing. */
static int replay(const struct backend_task *task, struct aws_client *client, int64_t deadline_ms,
                  char out_arn[ECS_ARN_BYTES], struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    cJSON *request = first_request(task, err);
    if (request == NULL) {
        return -1;
    }
    int result = aws_ecs(client, "RunTask", request, deadline_ms, &answer, &failure, err);
    json_delete_wiped(request);
    if (result < 0) {
        return -1;
    }
    const char *arn = json_text_at(cJSON_GetArrayItem(json_at(answer, "tasks"), 0), "taskArn");
    result = arn != NULL && strlen(arn) < ECS_ARN_BYTES;
    if (result == 1) {
        (void)snprintf(out_arn, ECS_ARN_BYTES, "%s", arn);
    }
    cJSON_Delete(answer);
    log_debug("repeated RunTask: %s", result == 1 ? out_arn : "nothing was started");
    return result;
}

/* 1: found and stopped; 0: nothing was started; -1: not known. */
static int replay_and_stop(struct stop_search *search, struct error *err)
{
    char arn[ECS_ARN_BYTES];
    const char *cluster = ecs_state_text(search->task->metadata, "cluster");
    search->replayed = true;
    int result = replay(search->task, search->client, search->deadline_ms, arn, err);
    if (result > 0 &&
        stop_task(search->client, cluster, arn, search->reason, search->deadline_ms, err) < 0) {
        result = -1;
    }
    if (result < 0) {
        log_debug("%s; searching by startedBy alone", err->message);
        search->asked_s = clock_unix_s(); /* it may have started the task just now */
    }
    return result;
}

/* One round; 1: the search is over, 0: not yet. */
static int search_once(struct stop_search *search, struct error *err)
{
    const struct metadata *metadata = search->task->metadata;
    int found = stop_started_by(search->client, ecs_state_text(metadata, "cluster"),
                                ecs_state_text(metadata, "started_by"), search->reason,
                                search->deadline_ms, err);
    int64_t now_s = clock_unix_s();
    if (found != 0) {
        return found < 0 ? -1 : 1;
    }
    if (now_s < search->asked_s) { /* the clock was set back: RunTask may have been just now */
        search->asked_s = now_s;
    }
    if (!search->replayed && now_s - search->asked_s < REPLAY_AGE_S) {
        struct error unknown;
        return replay_and_stop(search, &unknown) < 0 ? 0 : 1;
    }
    return now_s - search->asked_s > LIST_MISSING_S ? 1 : 0;
}

static int search_and_stop(struct stop_search *search, struct error *err)
{
    const struct metadata *metadata = search->task->metadata;
    const char *asked = ecs_state_text(metadata, "asked_at");
    if (asked == NULL || parse_integer(asked, 0, INT64_MAX, &search->asked_s) < 0) {
        return 0; /* RunTask was never called */
    }
    for (;;) {
        int over = search_once(search, err);
        if (over != 0) {
            return over < 0 ? -1 : 0;
        }
        if (clock_deadline_ms(LIST_PAUSE_MS) > search->deadline_ms) {
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                             "cannot find the task that RunTask may have started; look for one "
                             "started by '%s'",
                             ecs_state_text(metadata, "started_by"));
        }
        (void)signals_wait(NULL, -1, clock_deadline_ms(LIST_PAUSE_MS));
    }
}

static void write_reason(const struct metadata *metadata, char out[ECS_REASON_CEILING + 1])
{
    const char *url = ecs_state_text(metadata, "url");
    (void)snprintf(out, ECS_REASON_CEILING + 1, "%s: cleanup of %s", program_name(),
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
    /* A client of its own: the task's client fails once a stop was requested. */
    struct aws_client *client = ecs_client_new(task->config, NULL, err);
    if (client == NULL) {
        return error_wrap(err, "cannot stop task %s", arn != NULL ? arn : metadata->job);
    }
    write_reason(metadata, reason);
    struct stop_search search = {
        .task = task, .client = client, .reason = reason, .deadline_ms = deadline_ms};
    int result = arn != NULL ? stop_task(client, cluster, arn, reason, deadline_ms, err)
                             : search_and_stop(&search, err);
    aws_client_free(client);
    return result;
}

int ecs_stop_listed(const struct config *config, const char *id, const char *reason,
                    int64_t deadline_ms, struct error *err)
{
    struct aws_client *client = ecs_client_new(config, NULL, err);
    int result = client == NULL
                     ? -1
                     : stop_task(client, config->fargate.cluster, id, reason, deadline_ms, err);
    aws_client_free(client);
    return result;
}
