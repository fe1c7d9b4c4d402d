/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/capacity.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/generated.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/json.h"

#define CALL_MS 60000 /* a call with its retries */
/* How long ECS may not know a task definition that was just registered. */
#define DEFINITION_LAG_MS   60000
#define DEFINITION_PAUSE_MS 500
#define DEFINITION_RENEWALS 3
#define LAST_PAUSE_MS       4000
#define FIRST_LOOK_MS       700  /* no task has its address sooner */
#define LOOK_PAUSE_MS       1000 /* from one look to the next */

#define MEMORY_S     3600 /* how long the answer of a cluster is remembered */
#define MEMORY_BYTES 32   /* of its file */

#define SPOT      "FARGATE_SPOT"
#define ON_DEMAND "FARGATE"

/* The outcome of a request. */
enum outcome {
    OUTCOME_DONE,
    OUTCOME_ELSEWHERE,
    OUTCOME_LAUNCH_TYPE,
    OUTCOME_DEFINITION, /* ECS does not know the task definition, or not yet */
    OUTCOME_FAILED
};

struct attempt {
    struct ecs_placement ask;
    int number; /* each attempt has a client token of its own */
    char token[ECS_TOKEN_BYTES];
};

/* A cluster without a default strategy is remembered in the store. */
static void memory_name(const struct ecs_session *session, const struct config *config,
                        char out[ECS_STORE_NAME_BYTES])
{
    ecs_store_name(session->client, "launch-type", config->fargate.cluster, out);
}

static bool remembered(const struct ecs_session *session, const struct config *config)
{
    char name[ECS_STORE_NAME_BYTES];
    cleanup_buffer struct buffer text;
    buffer_init(&text, MEMORY_BYTES);
    memory_name(session, config, name);
    return ecs_store_read(config, name, MEMORY_S, &text, NULL);
}

static const char *first_form(const struct ecs_session *session, const struct config *config)
{
    const struct config_fargate *fargate = &config->fargate;
    if (fargate->spot || fargate->capacity_providers.count > 0) {
        return ECS_FORM_STRATEGY;
    }
    return fargate->launch_type != NULL || remembered(session, config) ? ECS_FORM_LAUNCH_TYPE
                                                                       : ECS_FORM_DEFAULT;
}

static void remember_launch_type(const struct ecs_session *session, const struct config *config)
{
    char name[ECS_STORE_NAME_BYTES];
    log_info("the cluster '%s' has no default capacity provider strategy, using launch type "
             "FARGATE; set [Fargate] LaunchType = \"FARGATE\" to save a request",
             config->fargate.cluster);
    memory_name(session, config, name);
    ecs_store_write(config, name, ON_DEMAND);
    ecs_store_sweep(config, config->fargate.definition_age_ms / 1000);
}

static int stopped_by_signal(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
}

/* Sleeps until a time; -1 for a request to stop. */
static int wait_until(const struct backend_task *task, int64_t time_ms, struct error *err)
{
    return signals_wait(task->signals, -1, time_ms) < 0 ? stopped_by_signal(err) : 0;
}

static int64_t next_pause(int64_t pause_ms)
{
    return pause_ms * 3 / 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause_ms * 3 / 2;
}

/* Removes the request with its secrets, once it need not be repeated. */
static void forget_request(struct backend_task *task)
{
    json_delete_wiped(
        cJSON_DetachItemFromObjectCaseSensitive(task->metadata->state, ECS_STATE_REQUEST));
}

/* The request itself, on disk before the call: cleanup can then repeat it byte for byte to find
 * what it may have started, whatever configuration and job variables are by then. */
static int persist_attempt(struct backend_task *task, const struct attempt *attempt,
                           const cJSON *request, struct error *err)
{
    char now[24];
    (void)snprintf(now, sizeof(now), "%lld", (long long)clock_unix_s());
    struct metadata *metadata = task->metadata;
    const struct ecs_placement *ask = &attempt->ask;
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, "arn");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, "provider");
    forget_request(task);
    if (!cJSON_AddItemToObject(metadata->state, ECS_STATE_REQUEST, cJSON_Duplicate(request, 1))) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot record the RunTask request");
    }
    if ((ask->provider != NULL && ecs_state_set(metadata, "provider", ask->provider, err) < 0) ||
        ecs_state_set(metadata, "form", ask->form, err) < 0 ||
        ecs_state_set(metadata, "subnet", ask->subnet, err) < 0 ||
        ecs_state_set(metadata, "client_token", ask->token, err) < 0 ||
        ecs_state_set(metadata, "asked_at", now, err) < 0) {
        return -1;
    }
    return task->persist == NULL ? 0 : task->persist(task, err);
}

/* Sets the hint that RunTask's refusal needs, which is more than the call's own, and decides what
 * to try next. */
static enum outcome refused(const struct attempt *attempt, bool permanent, struct error *err)
{
    struct ecs_advice advice = ecs_advice_of_refusal(err->message);
    if (advice.hint != NULL) {
        (void)error_hint(err, "%s", advice.hint);
    }
    /* A shortage passes, whatever the code of the answer is. */
    if (advice.verdict == ECS_PERMANENT || (permanent && advice.verdict != ECS_ELSEWHERE)) {
        err->kind = ERROR_USAGE;
    }
    (void)error_wrap(err, "ECS started no task in subnet '%s'", attempt->ask.subnet);
    return advice.verdict == ECS_ELSEWHERE ? OUTCOME_ELSEWHERE : OUTCOME_FAILED;
}

/* ECS reported that it started nothing: cleanup has nothing to search for. */
static void forget_attempt(struct backend_task *task)
{
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, "asked_at");
    forget_request(task);
}

static void show_status(struct backend_task *task, const struct ecs_view *view)
{
    struct ecs_session *session = task->session;
    if (!view->missing && strcmp(view->status, session->shown_status) != 0) {
        (void)snprintf(session->shown_status, sizeof(session->shown_status), "%s", view->status);
        ecs_progress(task, "task %s is %s", ecs_short_name(view->arn), view->status);
    }
}

/* A successful answer may have started nothing and list the reason in failures[]. */
static enum outcome read_answer(struct backend_task *task, const struct attempt *attempt,
                                const cJSON *answer, struct error *err)
{
    const cJSON *task_json =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "tasks"), 0);
    const char *arn = json_text_at(task_json, "taskArn");
    if (arn != NULL && strlen(arn) < ECS_ARN_BYTES) {
        struct ecs_view view;
        const char *container = task->config->fargate.container_name;
        ((struct ecs_session *)task->session)->launched_ms = clock_now_ms();
        task->start.queued_ms = clock_now_ms() - task->start.begun_ms;
        task->start.placed_ms = task->start.pulled_ms = task->start.started_ms = -1;
        ecs_record_facts(task->metadata, task_json, container);
        forget_request(task);
        if (ecs_state_set(task->metadata, "arn", arn, err) < 0 ||
            (task->persist != NULL && task->persist(task, err) < 0)) {
            return OUTCOME_FAILED;
        }
        ecs_view_read(task_json, container, &view);
        show_status(task, &view); /* as good as a look */
        return OUTCOME_DONE;
    }
    forget_attempt(task);
    const cJSON *failure =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "failures"), 0);
    const char *reason = json_text_at(failure, "reason");
    const char *detail = json_text_at(failure, "detail");
    (void)error_set(err, ERROR_SYSTEM, 0, "%s%s%s",
                    reason != NULL ? reason : "RunTask returned neither a task nor a failure",
                    detail != NULL ? ": " : "", detail != NULL ? detail : "");
    return refused(attempt, false, err);
}

/* RunTask without launch type was refused: whether it is repeated with launch type FARGATE. Not if
 * that would replace other capacity, which the cluster's administrator has chosen. */
static enum outcome without_launch_type(const struct backend_task *task,
                                        const struct attempt *attempt, int64_t deadline_ms,
                                        struct error *err)
{
    const struct ecs_session *session = task->session;
    struct error own;
    char provider[ECS_PROVIDER_BYTES];
    int other = ecs_advice_wants(err->message) == ECS_WANTS_LAUNCH_TYPE
                    ? 0
                    : ecs_capacity_default(session->client, task->config, task->signals,
                                           deadline_ms, provider, &own);
    if (other < 0 && own.errnum == EINTR) {
        *err = own;
        return OUTCOME_FAILED;
    }
    if (other > 0) {
        enum outcome outcome = refused(attempt, true, err);
        (void)error_wrap(err, "the cluster's default capacity provider '%s' is not Fargate's",
                         provider);
        (void)error_hint(err, "set [Fargate] LaunchType = \"FARGATE\"; or for that provider "
                              "EnablePublicIP = false, no PlatformVersion, and a task definition "
                              "that allows it");
        return outcome;
    }
    if (other < 0) {
        log_debug("the cluster's default strategy is not known: %s", own.message);
    }
    return OUTCOME_LAUNCH_TYPE;
}

static enum outcome call_run_task(struct backend_task *task, const struct attempt *attempt,
                                  const cJSON *request, int64_t deadline_ms, struct error *err)
{
    struct ecs_session *session = task->session;
    struct aws_failure failure;
    cJSON *answer = NULL;
    if (aws_ecs(session->client, "RunTask", request,
                clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS)), &answer, &failure,
                err) < 0) {
        if (!failure.maybe_done) {
            forget_attempt(task);
        }
        if (!failure.maybe_done && strcmp(attempt->ask.form, ECS_FORM_DEFAULT) == 0 &&
            ecs_advice_wants(err->message) != ECS_WANTS_NOTHING) {
            return without_launch_type(task, attempt, deadline_ms, err);
        }
        if (!failure.maybe_done && session->generated != NULL &&
            ecs_advice_lacks_definition(err->message)) {
            return OUTCOME_DEFINITION;
        }
        enum outcome outcome =
            failure.code[0] != '\0' ? refused(attempt, failure.permanent, err) : OUTCOME_FAILED;
        /* Another placement would lose a task that this attempt may have started. */
        return failure.maybe_done ? OUTCOME_FAILED : outcome;
    }
    enum outcome outcome = read_answer(task, attempt, answer, err);
    cJSON_Delete(answer);
    return outcome;
}

static enum outcome run_task(struct backend_task *task, struct attempt *attempt,
                             int64_t deadline_ms, struct error *err)
{
    (void)snprintf(attempt->token, sizeof(attempt->token), "%s-%d",
                   ecs_state_text(task->metadata, "token"), ++attempt->number);
    attempt->ask.token = attempt->token;
    cJSON *request = ecs_request_new(task, &attempt->ask, err);
    if (request == NULL) {
        return OUTCOME_FAILED;
    }
    enum outcome outcome = OUTCOME_FAILED;
    if (wait_until(task, ecs_pace_reserve(task->config, "run"), err) == 0) {
        if (persist_attempt(task, attempt, request, err) == 0) {
            outcome = call_run_task(task, attempt, request, deadline_ms, err);
        } else {
            forget_attempt(task); /* never sent, so not to be repeated */
        }
    }
    json_delete_wiped(request);
    return outcome;
}

/* The registered definition's ARN, for the next request. */
static int note_definition(struct backend_task *task, struct error *err)
{
    const struct ecs_session *session = task->session;
    return ecs_state_set(task->metadata, ECS_STATE_DEFINITION, session->generated->registration.arn,
                         err);
}

/* Registers the generated definition, unless ECS has it. */
static int ensure_definition(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    const struct ecs_session *session = task->session;
    return session->generated == NULL ? 0
           : ecs_registration_ensure(&session->generated->registration, deadline_ms, err) < 0
               ? -1
               : note_definition(task, err);
}

/* Neither the job nor the configuration is wrong: ECS has accepted the definition. */
static enum outcome definition_unknown(const struct attempt *attempt,
                                       const struct ecs_registration *registration,
                                       struct error *err)
{
    (void)error_wrap(err, "ECS started no task in subnet '%s'", attempt->ask.subnet);
    err->kind = ERROR_SYSTEM;
    (void)error_hint(err,
                     "ECS accepted the task definition '%s' %lld s ago; a new one can take a "
                     "minute, and [Fargate] LaunchTimeout must be longer",
                     ecs_short_name(registration->arn),
                     (long long)(clock_now_ms() - registration->known_ms) / 1000);
    return OUTCOME_FAILED;
}

/* As run_task(), with a generated definition that ECS may not know: a new one shows up some seconds
 * after RegisterTaskDefinition, an old one may have been removed. */
static enum outcome run_generated(struct backend_task *task, struct attempt *attempt,
                                  int64_t deadline_ms, struct error *err)
{
    const struct ecs_session *session = task->session;
    int64_t pause_ms = DEFINITION_PAUSE_MS;
    int renewals = 0;
    for (;;) {
        enum outcome outcome = run_task(task, attempt, deadline_ms, err);
        if (outcome != OUTCOME_DEFINITION) {
            return outcome;
        }
        struct ecs_registration *registration = &session->generated->registration;
        int64_t until_ms = registration->known_ms + DEFINITION_LAG_MS;
        if (clock_now_ms() >= until_ms && renewals++ < DEFINITION_RENEWALS) {
            pause_ms = DEFINITION_PAUSE_MS;
            if (ecs_registration_renew(registration, deadline_ms, err) < 0 ||
                note_definition(task, err) < 0) {
                return OUTCOME_FAILED;
            }
        } else if (clock_now_ms() >= until_ms || clock_deadline_ms(pause_ms) > deadline_ms) {
            return definition_unknown(attempt, registration, err);
        } else if (wait_until(task, clock_deadline_ms(pause_ms), err) < 0) {
            return OUTCOME_FAILED;
        }
        pause_ms = next_pause(pause_ms);
    }
}

/* The public address of the task's interface: 1, 0 when there is none yet, -1 with 'err'. */
static int find_public_address(struct ecs_session *session, int64_t deadline_ms, char *out,
                               size_t room, struct error *err)
{
    const char *const parameters[] = {"NetworkInterfaceId.1", session->interface, NULL};
    struct aws_failure failure;
    cJSON *answer = NULL;
    out[0] = '\0';
    if (session->interface[0] == '\0') {
        return 0;
    }
    if (aws_query(session->client, AWS_EC2, "DescribeNetworkInterfaces", parameters, deadline_ms,
                  &answer, &failure, err) < 0) {
        /* EC2 may not list the interface of a new task yet. */
        return strcmp(failure.code, "InvalidNetworkInterfaceID.NotFound") == 0 ? 0 : -1;
    }
    const cJSON *first =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "networkInterfaceSet"), 0);
    const char *address = json_text_at(first, "association.publicIp");
    (void)snprintf(out, room, "%s", address != NULL ? address : "");
    cJSON_Delete(answer);
    return out[0] != '\0';
}

/* Stores the task's address; 0: not known yet. */
static int find_address(struct backend_task *task, const struct ecs_view *view, int64_t deadline_ms,
                        struct error *err)
{
    struct ecs_session *session = task->session;
    struct metadata_agent *agent = &task->metadata->agents[METADATA_JOB];
    (void)snprintf(session->interface, sizeof(session->interface), "%s", view->interface);
    if (task->config->fargate.use_public_ip == CONFIG_YES) {
        return find_public_address(session, deadline_ms, agent->host, sizeof(agent->host), err);
    }
    (void)snprintf(agent->host, sizeof(agent->host), "%s", view->address);
    return agent->host[0] != '\0';
}

int ecs_second_address(struct backend_task *task, char *out, size_t room)
{
    struct error err;
    int result = find_public_address(task->session, clock_deadline_ms(CALL_MS), out, room, &err);
    if (result < 0 && !signals_pending(task->signals)) {
        task->two_addresses = false;
        char text[ERROR_TEXT_BYTES];
        log_warn("%s; using the task's private address; [Fargate] UsePublicIP = false avoids "
                 "this request",
                 error_text(&err, text));
    }
    return result > 0;
}

/* As far as this look knows them; the agent may know more later. */
static void read_times(const struct ecs_view *view, struct backend_start *start)
{
    start->accepted_at_ms = view->created_ms;
    if (view->created_ms > 0 && view->pull_ms >= view->created_ms) {
        start->placed_ms = view->pull_ms - view->created_ms;
    }
    if (view->pull_ms > 0 && view->pulled_ms >= view->pull_ms) {
        start->pulled_ms = view->pulled_ms - view->pull_ms;
    }
    if (view->pulled_ms > 0 && view->started_ms >= view->pulled_ms) {
        start->started_ms = view->started_ms - view->pulled_ms;
    }
}

static int no_address_in_time(const struct backend_task *task, struct error *err)
{
    const struct ecs_session *session = task->session;
    return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                     "the task got no address within [Fargate] LaunchTimeout; its last status was "
                     "'%s'",
                     session->shown_status);
}

/* Looks once: 1 with an address, 0 without, -1 if the task stops or AWS refuses. */
static int look_for_address(struct backend_task *task, int64_t deadline_ms,
                            enum ecs_verdict *out_verdict, struct error *err)
{
    struct ecs_session *session = task->session;
    struct ecs_view view;
    const struct ecs_look look = {
        .since_ms = session->looks.seen_ms + 1,
        .until_ms = deadline_ms,
        .deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS)),
        .pause_ms = LOOK_PAUSE_MS,
    };
    int looked = ecs_looks_ask(task, &look, &view, err);
    if (looked == 0) {
        return signals_pending(task->signals) ? stopped_by_signal(err)
                                              : no_address_in_time(task, err);
    }
    session->looked_ms = looked > 0 ? session->looks.seen_ms : clock_now_ms();
    if (looked < 0) {
        if (err->kind == ERROR_USAGE || signals_pending(task->signals)) {
            return -1;
        }
        char text[ERROR_TEXT_BYTES];
        log_warn("%s; retrying", error_text(err, text));
        return 0;
    }
    if (view.missing) {
        return clock_now_ms() < session->launched_ms + ECS_MISSING_MS
                   ? 0
                   : error_set(err, ERROR_SYSTEM, 0,
                               "ECS does not list the task that RunTask started");
    }
    show_status(task, &view);
    read_times(&view, &task->start);
    if (ecs_view_ends(&view)) {
        *out_verdict = ecs_advice_of_stop(view.stopped_reason).verdict;
        return ecs_view_error(&view, err);
    }
    if (strcmp(view.status, "RUNNING") == 0 && session->running_since_ms == 0) {
        session->running_since_ms = clock_now_ms();
    }
    return find_address(task, &view, deadline_ms, err);
}

static enum outcome wait_for_address(struct backend_task *task, int64_t deadline_ms,
                                     struct error *err)
{
    const struct ecs_session *session = task->session;
    enum ecs_verdict verdict = ECS_UNKNOWN;
    int64_t look_ms = session->launched_ms + FIRST_LOOK_MS;
    for (;;) {
        if (look_ms > deadline_ms) {
            (void)no_address_in_time(task, err);
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
        look_ms = session->looked_ms + LOOK_PAUSE_MS;
    }
}

static enum outcome attempt_launch(struct backend_task *task, struct attempt *attempt,
                                   int64_t deadline_ms, struct error *err)
{
    struct ecs_session *session = task->session;
    session->shown_status[0] = '\0';
    session->interface[0] = '\0';
    enum outcome outcome = run_generated(task, attempt, deadline_ms, err);
    if (outcome == OUTCOME_LAUNCH_TYPE) {
        remember_launch_type(session, task->config);
        attempt->ask.form = ECS_FORM_LAUNCH_TYPE;
        outcome = run_generated(task, attempt, deadline_ms, err);
    }
    if (outcome == OUTCOME_DONE) {
        outcome = wait_for_address(task, deadline_ms, err);
    }
    return outcome;
}

/* Jobs start with different subnets to spread over all of them. */
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
    struct attempt attempt = {.ask.form = first_form(task->session, task->config)};
    for (size_t p = 0; p < provider_count; p++) {
        for (size_t s = 0; s < fargate->subnets.count; s++) {
            struct ecs_placement *ask = &attempt.ask;
            ask->provider = providers[p];
            ask->subnet = fargate->subnets.entries[(first + s) % fargate->subnets.count];
            if (p > 0 || s > 0) {
                char text[ERROR_TEXT_BYTES];
                log_warn("%s; trying subnet '%s'%s%s next", error_text(err, text), ask->subnet,
                         ask->provider != NULL ? " with " : "",
                         ask->provider != NULL ? ask->provider : "");
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
    if (ecs_session_of(task, err) == NULL || ensure_definition(task, deadline_ms, err) < 0 ||
        try_everywhere(task, deadline_ms, err) != OUTCOME_DONE) {
        return error_wrap(err, "cannot launch a task on ECS");
    }
    const struct config_fargate *fargate = &task->config->fargate;
    task->two_addresses = fargate->enable_public_ip && fargate->use_public_ip == CONFIG_UNSET;
    bool generated = ((struct ecs_session *)task->session)->generated != NULL;
    task->metadata->agents[METADATA_JOB].port =
        (int)(generated ? fargate->job_port : task->config->ssh_port);
    task->metadata->agents[METADATA_HELPER].port = (int)fargate->helper_port;
    ecs_progress(task, "task has the address %s", task->metadata->agents[METADATA_JOB].host);
    return 0;
}
