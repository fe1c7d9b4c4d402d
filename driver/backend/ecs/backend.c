/* SPDX-License-Identifier: MIT */
/*
 * The backend 'ecs': a task on AWS Fargate, as fargate.toml describes it. See ecs.h.
 */
#include "driver/backend/ecs/ecs.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend/ecs/capacity.h"
#include "driver/backend/ecs/generated.h"
#include "driver/backend/ecs/service_logs.h"
#include "driver/base/jitter.h"
#include "driver/record/metadata_directory.h"
#include "driver/record/runner_id.h"
#include "driver/registry/image_choice.h"
#include "driver/runner/runner.h"

#define LOOK_MS       20000 /* a DescribeTasks with its retries */
#define LOOK_PAUSE_MS 2000  /* between two DescribeTasks while the connection is lost */
#define SOON_MS       500   /* the same if the connection was just lost */
#define TURN_MS       10000 /* how long BACKEND_WAIT waits for a slot */
#define HURRY_MS      2000  /* the same, and of a DescribeTasks, after a request to stop */
#define LAST_PAUSE_MS 5000

static void ecs_done(struct backend_task *task)
{
    struct ecs_session *session = task->session;
    if (session != NULL) {
        ecs_generated_free(session->generated);
        aws_client_free(session->client);
        aws_client_free(session->follow.client);
        ecs_looks_done(&session->looks);
        free(session);
        task->session = NULL;
    }
}

/* What a strategy and a launch type cannot have together. */
static int check_capacity(const struct config *config, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    if (fargate->spot && fargate->capacity_providers.count > 0) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "[Fargate] Spot and CapacityProviders exclude each other");
        return error_hint(err, "for Spot without fallback set CapacityProviders = "
                               "[\"FARGATE_SPOT\"]");
    }
    if (fargate->launch_type == NULL) {
        return ecs_capacity_check(config, err);
    }
    if (strcmp(fargate->launch_type, "FARGATE") != 0) {
        char place[CONFIG_PLACE_BYTES];
        (void)error_set(err, ERROR_USAGE, 0, "%s is '%s'",
                        config_place(config, &fargate->launch_type, "[Fargate] LaunchType", place),
                        fargate->launch_type);
        return error_hint(err, "set \"FARGATE\", or remove it to use the cluster's default "
                               "capacity provider strategy");
    }
    if (fargate->spot || fargate->capacity_providers.count > 0) {
        return error_set(err, ERROR_USAGE, 0, "[Fargate] LaunchType and %s exclude each other",
                         fargate->spot ? "Spot" : "CapacityProviders");
    }
    return ecs_capacity_check(config, err);
}

static int ecs_check(const struct config *config, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    const struct {
        bool there;
        const char *key;
    } rows[] = {
        {fargate->cluster != NULL, "Cluster"},
        {fargate->task_definition != NULL || ecs_generates(config), "TaskDefinition"},
        {fargate->subnets.count > 0, "Subnet"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].there) {
            return error_set(err, ERROR_USAGE, 0, "'%s' has no [Fargate] %s, which ECS requires",
                             config->path != NULL ? config->path : "the configuration",
                             rows[i].key);
        }
    }
    if (ecs_generates(config) && fargate->job_port == fargate->helper_port) {
        (void)error_set(err, ERROR_USAGE, 0, "[Fargate] JobPort and HelperPort are both %lld",
                        (long long)fargate->job_port);
        return error_hint(err, "job and helper share the task's ports; set two different ones");
    }
    return image_choice_check(config, err) < 0 ? -1 : check_capacity(config, err);
}

/* Ours in a generated definition; else config.toml's, as with the Fargate driver. */
static int ecs_directories(const struct config *config, const char *job,
                           struct backend_directories *out_directories, struct error *err)
{
    bool ours = ecs_job_is_generated(config);
    (void)job;
    (void)err;
    (void)snprintf(out_directories->builds, sizeof(out_directories->builds), "%s",
                   ours ? ECS_BUILDS_DIRECTORY : "");
    (void)snprintf(out_directories->cache, sizeof(out_directories->cache), "%s",
                   ours ? ECS_CACHE_DIRECTORY : "");
    return 0;
}

static int ecs_plan(struct backend_task *task, struct error *err)
{
    unsigned char random[16];
    char token[2 * sizeof(random) + 1];
    char started_by[ECS_STARTED_BY_BYTES];
    char owner[RUNNER_ID_BYTES];
    const char *url = runner_variable("CI_JOB_URL");
    runner_id_get(task->config, owner);
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(token, sizeof(token), random, sizeof(random));
    (void)snprintf(started_by, sizeof(started_by), "berth/%s/%s", owner, task->metadata->job);
    if (ecs_state_set(task->metadata, "cluster", task->config->fargate.cluster, err) < 0 ||
        ecs_state_set(task->metadata, "token", token, err) < 0 ||
        ecs_state_set(task->metadata, "started_by", started_by, err) < 0) {
        return -1;
    }
    return url != NULL && ecs_state_set(task->metadata, "url", url, err) < 0
               ? -1
               : ecs_generated_plan(task, err);
}

static int64_t ecs_launch_timeout_ms(const struct config *config)
{
    return config->fargate.launch_timeout_ms;
}

static int64_t pause_of(const struct ecs_session *session)
{
    return session->reached ? LOOK_PAUSE_MS : session->pause_ms;
}

static void note_look(struct ecs_session *session)
{
    session->looked_ms = clock_now_ms();
    session->due_ms = session->looked_ms + jitter(pause_of(session));
    if (!session->reached) {
        session->pause_ms = clock_earlier_ms(session->pause_ms * 3 / 2, LAST_PAUSE_MS);
    }
}

/* Whether the pause between two looks is over, or will be by 'until_ms': then it is waited for. */
static bool due(const struct ecs_session *session, int64_t until_ms, struct signals *signals)
{
    return clock_now_ms() >= session->due_ms ||
           (session->due_ms <= until_ms && signals_wait(signals, -1, session->due_ms) == 0);
}

/* Which ports do not answer, and what may be wrong. */
static void write_remedy(const struct backend_task *task, char *out, size_t room)
{
    const struct config_fargate *fargate = &task->config->fargate;
    const struct metadata_agent *agent = &task->metadata->agents[METADATA_JOB];
    bool job_first = fargate->job_port < fargate->helper_port;
    int64_t from = job_first ? fargate->job_port : fargate->helper_port;
    int64_t to = job_first ? fargate->helper_port : fargate->job_port;
    char ports[64];
    char which[64];
    if (((const struct ecs_session *)task->session)->generated == NULL) {
        (void)snprintf(out, room,
                       "%s port %d does not answer; a security group of the task must allow this "
                       "host to connect to that port, [SSH] Port must match the image",
                       agent->host, agent->port);
        return;
    }
    bool both = task->metadata->has_helper;
    if (both) {
        (void)snprintf(ports, sizeof(ports), "%lld%s%lld", (long long)from,
                       to == from + 1 ? "-" : ", and again for ", (long long)to);
        (void)snprintf(which, sizeof(which), "both ports %lld (job) and %lld (helper)",
                       (long long)fargate->job_port, (long long)fargate->helper_port);
    } else {
        (void)snprintf(ports, sizeof(ports), "%lld", (long long)fargate->job_port);
        (void)snprintf(which, sizeof(which), "port %lld", (long long)fargate->job_port);
    }
    (void)snprintf(out, room,
                   "%s does not answer on %s; a security group of the task must allow this host to "
                   "connect to %s (aws ec2 authorize-security-group-ingress --group-id %s "
                   "--protocol tcp --source-group GROUP-OF-THIS-HOST --port %s)",
                   agent->host, which, both ? "them" : "it",
                   fargate->security_groups.count > 0 ? fargate->security_groups.entries[0]
                                                      : "GROUP-OF-THE-TASK",
                   ports);
}

/* An error if the task has been RUNNING for long and no connection succeeded. */
static int check_reach(const struct backend_task *task, struct error *err)
{
    const struct ecs_session *session = task->session;
    const struct config *config = task->config;
    if (session->reached || session->running_since_ms == 0 ||
        clock_now_ms() < session->running_since_ms + config->ssh_connect_timeout_ms) {
        return 0;
    }
    char remedy[512];
    write_remedy(task, remedy, sizeof(remedy));
    return error_set(
        err, ERROR_SYSTEM, ETIMEDOUT, "the task has been RUNNING for %lld s, but %s, and %s",
        (long long)(config->ssh_connect_timeout_ms / 1000), remedy,
        task->two_addresses ? "this host must be able to reach its private or its public address"
        : config->fargate.use_public_ip == CONFIG_YES
            ? "the subnet needs an internet gateway"
            : "this host must be able to reach the subnet, or set [Fargate] UsePublicIP = true");
}

/* RunTask was called so recently that DescribeTasks may not show the task yet. */
static bool is_young(const struct metadata *metadata)
{
    int64_t asked_s = 0;
    const char *asked = ecs_state_text(metadata, "asked_at");
    return asked != NULL && parse_integer(asked, 0, INT64_MAX, &asked_s) == 0 &&
           clock_unix_s() - asked_s < ECS_MISSING_MS / 1000;
}

static int64_t shortened_ms(const struct backend_task *task, int64_t usual_ms)
{
    return task->signals != NULL && task->signals->first != 0 ? HURRY_MS : usual_ms;
}

static int look_again(struct backend_task *task, const struct ecs_look *look, struct error *err)
{
    struct ecs_view view;
    struct ecs_session *session = task->session;
    const char *arn = ecs_state_text(task->metadata, "arn");
    int looked = ecs_looks_ask(task, look, &view, err);
    if (looked != 0) {
        note_look(session);
    }
    if (looked < 0) {
        log_debug("%s", err->message);
    }
    if (looked <= 0) {
        return 0; /* an unreachable AWS does not mean that the task has ended */
    }
    if (view.missing) {
        return is_young(task->metadata)
                   ? 0
                   : error_set(err, ERROR_SYSTEM, 0, "ECS no longer lists task %s", arn);
    }
    if (ecs_view_ends(&view)) {
        (void)ecs_view_error(&view, err);
        if (session->reached) {
            err->kind = ERROR_SYSTEM; /* it ran, so the configuration is right */
        }
        return -1;
    }
    if (strcmp(view.status, session->shown_status) != 0) {
        (void)snprintf(session->shown_status, sizeof(session->shown_status), "%s", view.status);
        ecs_progress(task, "task is %s", view.status);
    }
    if (strcmp(view.status, "RUNNING") == 0 && session->running_since_ms == 0) {
        session->running_since_ms = clock_now_ms();
    }
    return 0;
}

static int count_job(void *context, const char *job, struct error *err)
{
    (void)job;
    (void)err;
    (*(int64_t *)context)++;
    return 0;
}

/* With many jobs the interval grows, so that watching uses half of CallsPerSecond at most; the rest
 * is for jobs that wait for their task. */
static int64_t ecs_watch_pause_ms(const struct config *config)
{
    int64_t jobs = 0;
    /* Without the directory the stage has failed for another reason. */
    (void)!metadata_directory_each(config->metadata_directory, count_job, &jobs, NULL);
    int64_t share_ms = jobs * 2 * 1000 / config->fargate.calls_per_second;
    int64_t own_ms = config->fargate.watch_interval_ms;
    return share_ms > own_ms ? share_ms : own_ms;
}

/* Called between two SSH attempts, far more often than ECS may be called. */
static int ecs_alive(struct backend_task *task, enum backend_asking asking, struct error *err)
{
    const char *arn = ecs_state_text(task->metadata, "arn");
    if (arn == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "no task was started");
    }
    struct ecs_session *session = ecs_session_of(task, err);
    if (session == NULL) {
        log_debug("%s", err->message);
        return 0; /* an unreachable AWS does not mean that the task has ended */
    }
    session->reached = session->reached || session->launched_ms == 0 || asking != BACKEND_IF_DUE;
    if (check_reach(task, err) < 0) {
        return -1;
    }
    struct ecs_look look = {.since_ms = session->looks.seen_ms + 1,
                            .deadline_ms = clock_deadline_ms(shortened_ms(task, LOOK_MS)),
                            .pause_ms = pause_of(session)};
    if (asking == BACKEND_IF_DUE) {
        return due(session, 0, task->signals) ? look_again(task, &look, err) : 0;
    }
    /* The answer has to be current, and the next look may never come. */
    session->due_ms = clock_earlier_ms(session->due_ms, session->looked_ms + SOON_MS);
    look.pause_ms = 0;
    look.until_ms =
        clock_deadline_ms(shortened_ms(task, asking == BACKEND_WAIT ? TURN_MS : 2 * SOON_MS));
    if (!due(session, look.until_ms, task->signals)) {
        return 0;
    }
    look.since_ms = clock_now_ms();
    look.deadline_ms = clock_deadline_ms(shortened_ms(task, LOOK_MS));
    return look_again(task, &look, err);
}

static void ecs_describe(const struct backend_task *task, char *out, size_t room)
{
    const char *arn = ecs_state_text(task->metadata, "arn");
    (void)snprintf(out, room, "%s", arn == NULL ? "(not started)" : ecs_short_name(arn));
}

const struct backend backend_ecs = {
    .name = "ecs",
    .summary = "a task on AWS Fargate",
    .uses_keywords = true, /* or warns itself */
    .may_lack_agent = true,
    .has_metadata = true,
    .has_task_definitions = true,
    .list_pause_ms = 5000, /* DescribeTasks has a rate limit for the whole account */
    .check = ecs_check,
    .directories = ecs_directories,
    .fetch = ecs_fetch,
    .plan = ecs_plan,
    .launch = ecs_launch,
    .settle = ecs_settle,
    .second_address = ecs_second_address,
    .launch_timeout_ms = ecs_launch_timeout_ms,
    .alive = ecs_alive,
    .watch_pause_ms = ecs_watch_pause_ms,
    .service_logs = ecs_service_logs,
    .stop = ecs_stop,
    .list = ecs_list,
    .stop_listed = ecs_stop_listed,
    .logs = ecs_logs,
    .requirements = ecs_requirements,
    .claimed = ecs_claimed,
    .describe = ecs_describe,
    .done = ecs_done,
};
