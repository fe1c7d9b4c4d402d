/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs.h"
#include "driver/backend/ecs_pace.h"

#define CALL_MS        60000 /* one call with its retries */
#define FIRST_PAUSE_MS 700
#define LAST_PAUSE_MS  4000

#define SPOT      "FARGATE_SPOT"
#define ON_DEMAND "FARGATE"

/* How one place took the request. */
enum outcome { OUTCOME_DONE, OUTCOME_ELSEWHERE, OUTCOME_FAILED };

struct attempt {
    const char *provider; /* NULL: by launch type, or the configured strategy */
    const char *subnet;
    int number;
};

static int stopped_by_signal(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
}

/* Sleeps until a time; -1 for a request to stop. */
static int wait_until(const struct backend_task *task, int64_t time_ms, struct error *err)
{
    return signals_wait(task->signals, -1, time_ms) < 0 ? stopped_by_signal(err) : 0;
}

/* The intent, on disk before the call: with it a cleanup finds what the call may have started. */
static int persist_attempt(struct backend_task *task, const struct attempt *attempt,
                           char token[ECS_TOKEN_BYTES], struct error *err)
{
    char now[24];
    (void)snprintf(token, ECS_TOKEN_BYTES, "%s-%d", ecs_state_text(task->metadata, "token"),
                   attempt->number);
    (void)snprintf(now, sizeof(now), "%lld", (long long)time(NULL));
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, "arn");
    if (ecs_state_set(task->metadata, "client_token", token, err) < 0 ||
        ecs_state_set(task->metadata, "asked_at", now, err) < 0) {
        return -1;
    }
    return task->persist == NULL ? 0 : task->persist(task, err);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* Turns what ECS said into an error that says what to do, and into what to try next. */
static enum outcome refused(const struct attempt *attempt, bool permanent, struct error *err)
{
    struct ecs_advice advice = ecs_advice_of_refusal(err->message);
    if (advice.hint != NULL && strstr(err->message, advice.hint) == NULL) {
        char said[ERROR_MESSAGE_BYTES];
        (void)snprintf(said, sizeof(said), "%s", err->message);
        (void)error_set(err, err->kind, 0, "%s; %s", said, advice.hint);
    }
    if (permanent || advice.verdict == ECS_PERMANENT) {
        err->kind = ERROR_USAGE;
    }
    (void)error_wrap(err, "ECS started no task in subnet '%s'", attempt->subnet);
    return advice.verdict == ECS_ELSEWHERE ? OUTCOME_ELSEWHERE : OUTCOME_FAILED;
}

/* An answer of success may still have started nothing, and say so in failures[]. */
static enum outcome read_answer(struct backend_task *task, const struct attempt *attempt,
                                const cJSON *answer, struct error *err)
{
    const cJSON *task_json =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "tasks"), 0);
    const char *arn = text_of(task_json, "taskArn");
    if (arn != NULL && strlen(arn) < ECS_ARN_BYTES) {
        return ecs_state_set(task->metadata, "arn", arn, err) < 0 ||
                       (task->persist != NULL && task->persist(task, err) < 0)
                   ? OUTCOME_FAILED
                   : OUTCOME_DONE;
    }
    const cJSON *failure =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "failures"), 0);
    const char *reason = text_of(failure, "reason");
    const char *detail = text_of(failure, "detail");
    (void)error_set(err, ERROR_SYSTEM, 0, "%s%s%s",
                    reason != NULL ? reason : "an answer without a task and without a failure",
                    detail != NULL ? ": " : "", detail != NULL ? detail : "");
    return refused(attempt, false, err);
}

static enum outcome run_task(struct backend_task *task, const struct attempt *attempt,
                             int64_t deadline_ms, struct error *err)
{
    char token[ECS_TOKEN_BYTES];
    struct ecs_session *session = task->session;
    struct aws_failure failure;
    cJSON *answer = NULL;
    if (wait_until(task, ecs_pace_reserve(task->config, "run"), err) < 0 ||
        persist_attempt(task, attempt, token, err) < 0) {
        return OUTCOME_FAILED;
    }
    cJSON *request = ecs_request_new(task, attempt->provider, attempt->subnet, token, err);
    if (request == NULL) {
        return OUTCOME_FAILED;
    }
    int result =
        aws_ecs(session->client, "RunTask", request,
                clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS)), &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        return failure.code[0] != '\0' ? refused(attempt, failure.permanent, err) : OUTCOME_FAILED;
    }
    enum outcome outcome = read_answer(task, attempt, answer, err);
    cJSON_Delete(answer);
    return outcome;
}

/* The address that SSH goes to, once there is one; 0: not yet. */
static int find_address(struct backend_task *task, const struct ecs_view *view, int64_t deadline_ms,
                        struct error *err)
{
    struct ecs_session *session = task->session;
    struct metadata *metadata = task->metadata;
    if (task->config->fargate.use_public_ip != CONFIG_YES) {
        (void)snprintf(metadata->host, sizeof(metadata->host), "%s", view->address);
        return metadata->host[0] != '\0';
    }
    if (view->interface[0] == '\0') {
        return 0;
    }
    const char *const parameters[] = {"NetworkInterfaceId.1", view->interface, NULL};
    struct aws_failure failure;
    cJSON *answer = NULL;
    if (aws_query(session->client, AWS_EC2, "DescribeNetworkInterfaces", parameters, deadline_ms,
                  &answer, &failure, err) < 0) {
        /* The interface of a new task may be unknown to EC2 for a moment. */
        return strcmp(failure.code, "InvalidNetworkInterfaceID.NotFound") == 0 ? 0 : -1;
    }
    const cJSON *first =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "networkInterfaceSet"), 0);
    const char *address =
        text_of(cJSON_GetObjectItemCaseSensitive(first, "association"), "publicIp");
    (void)snprintf(metadata->host, sizeof(metadata->host), "%s", address != NULL ? address : "");
    cJSON_Delete(answer);
    return metadata->host[0] != '\0';
}

static void tell_state(struct backend_task *task, const struct ecs_view *view)
{
    struct ecs_session *session = task->session;
    if (!view->missing && strcmp(view->status, session->told) != 0) {
        (void)snprintf(session->told, sizeof(session->told), "%s", view->status);
        ecs_tell(task, "task %s is %s", ecs_short_name(view->arn), view->status);
    }
}

/* One look: 1 with an address, 0 without, -1 when the task ends or AWS refuses. */
static int look_for_address(struct backend_task *task, int64_t deadline_ms,
                            enum ecs_verdict *out_verdict, struct error *err)
{
    struct ecs_session *session = task->session;
    struct ecs_view view;
    if (ecs_look(session, task->config, ecs_state_text(task->metadata, "cluster"),
                 ecs_state_text(task->metadata, "arn"),
                 clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS)), &view, err) < 0) {
        if (err->kind == ERROR_USAGE || signals_pending(task->signals)) {
            return -1;
        }
        log_warn("%s; asking again", err->message);
        return 0;
    }
    if (view.missing) {
        return clock_now_ms() < session->launched_ms + ECS_MISSING_PATIENCE_MS
                   ? 0
                   : error_set(err, ERROR_SYSTEM, 0,
                               "RunTask named a task that ECS does not know afterwards");
    }
    tell_state(task, &view);
    if (ecs_view_ends(&view)) {
        *out_verdict = ecs_advice_of_stop(view.stopped_reason).verdict;
        return ecs_view_error(&view, err);
    }
    if (strcmp(view.status, "RUNNING") == 0 && session->running_since_ms == 0) {
        session->running_since_ms = clock_now_ms();
    }
    return find_address(task, &view, deadline_ms, err);
}

static int64_t next_pause(int64_t pause_ms)
{
    return pause_ms * 3 / 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause_ms * 3 / 2;
}

static enum outcome wait_for_address(struct backend_task *task, int64_t deadline_ms,
                                     struct error *err)
{
    enum ecs_verdict verdict = ECS_UNKNOWN;
    int64_t pause_ms = FIRST_PAUSE_MS;
    for (;;) {
        int64_t look_ms = ecs_pace_reserve(task->config, "look");
        if (look_ms > deadline_ms || clock_now_ms() >= deadline_ms) {
            (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                            "the task has no address within [Fargate] LaunchTimeout; its last "
                            "state was '%s'",
                            ((struct ecs_session *)task->session)->told);
            return OUTCOME_FAILED;
        }
        if (wait_until(task, look_ms, err) < 0) {
            return OUTCOME_FAILED;
        }
        int result = look_for_address(task, deadline_ms, &verdict, err);
        if (result > 0) {
            return OUTCOME_DONE;
        }
        if (result < 0) {
            return verdict == ECS_ELSEWHERE ? OUTCOME_ELSEWHERE : OUTCOME_FAILED;
        }
        if (wait_until(task, clock_deadline_ms(pause_ms), err) < 0) {
            return OUTCOME_FAILED;
        }
        pause_ms = next_pause(pause_ms);
    }
}

static enum outcome attempt_launch(struct backend_task *task, const struct attempt *attempt,
                                   int64_t deadline_ms, struct error *err)
{
    struct ecs_session *session = task->session;
    session->told[0] = '\0';
    enum outcome outcome = run_task(task, attempt, deadline_ms, err);
    if (outcome == OUTCOME_DONE) {
        session->launched_ms = clock_now_ms();
        outcome = wait_for_address(task, deadline_ms, err);
    }
    return outcome;
}

/* Jobs begin at different subnets, so that they spread over all of them. */
static size_t first_subnet(const struct backend_task *task)
{
    size_t sum = 0;
    for (const char *at = ecs_state_text(task->metadata, "token"); *at != '\0'; at++) {
        sum = sum * 31 + (unsigned char)*at;
    }
    return sum % task->config->fargate.subnets.count;
}

static enum outcome try_everywhere(struct backend_task *task, int64_t deadline_ms,
                                   struct error *err)
{
    const struct config_fargate *fargate = &task->config->fargate;
    const char *const providers[] = {fargate->spot ? SPOT : NULL, ON_DEMAND};
    size_t provider_count = fargate->spot && fargate->spot_fallback ? 2 : 1;
    size_t first = first_subnet(task);
    struct attempt attempt = {.number = 0};
    for (size_t p = 0; p < provider_count; p++) {
        for (size_t s = 0; s < fargate->subnets.count; s++) {
            attempt.provider = providers[p];
            attempt.subnet = fargate->subnets.entries[(first + s) % fargate->subnets.count];
            attempt.number++;
            if (attempt.number > 1) {
                log_warn("%s; trying subnet '%s'%s%s next", err->message, attempt.subnet,
                         attempt.provider != NULL ? " with " : "",
                         attempt.provider != NULL ? attempt.provider : "");
            }
            enum outcome outcome = attempt_launch(task, &attempt, deadline_ms, err);
            if (outcome != OUTCOME_ELSEWHERE) {
                return outcome;
            }
        }
    }
    return OUTCOME_ELSEWHERE;
}

int ecs_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    if (ecs_session_of(task, err) == NULL ||
        try_everywhere(task, deadline_ms, err) != OUTCOME_DONE) {
        return error_wrap(err, "cannot launch a task on ECS");
    }
    task->metadata->port = (int)task->config->ssh_port;
    ecs_tell(task, "task has the address %s", task->metadata->host);
    return 0;
}
