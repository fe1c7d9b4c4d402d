/* SPDX-License-Identifier: MIT */
/*
 * The backend 'ecs': a task on AWS Fargate, as fargate.toml describes it. See ecs.h.
 */
#include "driver/backend/ecs.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs_pace.h"
#include "driver/owner.h"
#include "driver/runner.h"

#define LOOK_MS        20000 /* one DescribeTasks with its retries */
#define LOOK_PAUSE_MS  2000
#define FIRST_PAUSE_MS 1000
#define LAST_PAUSE_MS  5000

const char *ecs_state_text(const struct metadata *metadata, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(metadata->state, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

int ecs_state_set(struct metadata *metadata, const char *name, const char *text, struct error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, name);
    return cJSON_AddStringToObject(metadata->state, name, text) != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the task's state");
}

const char *ecs_short_name(const char *arn)
{
    const char *slash = strrchr(arn, '/');
    return slash == NULL ? arn : slash + 1;
}

struct ecs_session *ecs_session_of(struct backend_task *task, struct error *err)
{
    struct ecs_session *session = task->session;
    if (session == NULL) {
        session = calloc(1, sizeof(*session));
        if (session == NULL) {
            (void)error_set(err, ERROR_SYSTEM, errno, "cannot talk to AWS");
            return NULL;
        }
        session->pause_ms = FIRST_PAUSE_MS;
        session->client = aws_client_new(task->config, task->signals, err);
        if (session->client == NULL) {
            free(session);
            return NULL;
        }
        task->session = session;
    }
    return session;
}

static void ecs_done(struct backend_task *task)
{
    struct ecs_session *session = task->session;
    if (session != NULL) {
        aws_client_free(session->client);
        free(session);
        task->session = NULL;
    }
}

void ecs_tell(const struct backend_task *task, const char *format, ...)
{
    char text[512];
    const struct ecs_session *session = task->session;
    if (task->tell == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (session != NULL && session->launched_ms != 0 && length >= 0 && length < (int)sizeof(text)) {
        (void)snprintf(text + length, sizeof(text) - (size_t)length, " after %.1f s",
                       (double)(clock_now_ms() - session->launched_ms) / 1000);
    }
    task->tell(text);
}

static int ecs_check(const struct config *config, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    const struct {
        bool there;
        const char *key;
    } rows[] = {
        {fargate->cluster != NULL, "Cluster"},
        {fargate->task_definition != NULL, "TaskDefinition"},
        {fargate->subnets.count > 0, "Subnet"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].there) {
            return error_set(err, ERROR_USAGE, 0, "'%s' has no [Fargate] %s, which ECS needs",
                             config->path != NULL ? config->path : "the configuration",
                             rows[i].key);
        }
    }
    if (fargate->spot && fargate->capacity_providers.count > 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Fargate] Spot and CapacityProviders exclude each other; "
                         "CapacityProviders = [\"FARGATE_SPOT\"] is Spot without fallback");
    }
    return 0;
}

/* The paths inside a container are config.toml's matter, as with the Fargate driver. */
static int ecs_directories(const struct config *config, const char *job,
                           struct backend_directories *out_directories, struct error *err)
{
    (void)config;
    (void)job;
    (void)err;
    out_directories->builds[0] = '\0';
    out_directories->cache[0] = '\0';
    return 0;
}

static int ecs_plan(struct backend_task *task, struct error *err)
{
    unsigned char random[16];
    char token[2 * sizeof(random) + 1];
    char started_by[ECS_STARTED_BY_BYTES];
    char owner[OWNER_BYTES];
    const char *url = runner_variable("CI_JOB_URL");
    owner_of(task->config, owner);
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(token, sizeof(token), random, sizeof(random));
    (void)snprintf(started_by, sizeof(started_by), "berth/%s/%s", owner, task->metadata->job);
    if (ecs_state_set(task->metadata, "cluster", task->config->fargate.cluster, err) < 0 ||
        ecs_state_set(task->metadata, "token", token, err) < 0 ||
        ecs_state_set(task->metadata, "started_by", started_by, err) < 0) {
        return -1;
    }
    return url == NULL ? 0 : ecs_state_set(task->metadata, "url", url, err);
}

static int64_t ecs_patience_ms(const struct config *config)
{
    return config->fargate.launch_timeout_ms;
}

/* Up to a quarter more or less, so that drivers started together do not stay together. */
static int64_t jitter(int64_t pause_ms)
{
    return pause_ms - pause_ms / 4 + (int64_t)randombytes_uniform((uint32_t)(pause_ms / 2) + 1);
}

/* Whether it is time to ask ECS: the pause is over and this driver's turn has come. */
static bool due(struct ecs_session *session, const struct config *config)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms < session->due_ms) {
        return false;
    }
    if (!session->reserved) {
        session->due_ms = ecs_pace_reserve(config, "look");
        session->reserved = true;
        if (session->due_ms > now_ms) {
            return false;
        }
    }
    session->reserved = false;
    session->due_ms = now_ms + jitter(session->pause_ms);
    session->pause_ms =
        session->pause_ms * 3 / 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : session->pause_ms * 3 / 2;
    return true;
}

/* RUNNING for long, and yet nothing answers: what stands between. */
static int check_reach(const struct backend_task *task, struct error *err)
{
    const struct ecs_session *session = task->session;
    const struct config *config = task->config;
    if (session->running_since_ms == 0 ||
        clock_now_ms() < session->running_since_ms + config->ssh_connect_timeout_ms) {
        return 0;
    }
    return error_set(
        err, ERROR_SYSTEM, ETIMEDOUT,
        "the task has been RUNNING for %lld s and nothing answers at %s port %d; a security group "
        "of the task must let this machine in on that port, [SSH] Port must be the image's, and %s",
        (long long)(config->ssh_connect_timeout_ms / 1000), task->metadata->host,
        task->metadata->port,
        config->fargate.use_public_ip == CONFIG_YES
            ? "the subnet needs an internet gateway"
            : "this machine must reach the subnet, or [Fargate] UsePublicIP = true");
}

static int look_again(struct backend_task *task, struct ecs_session *session, struct error *err)
{
    struct ecs_view view;
    const char *arn = ecs_state_text(task->metadata, "arn");
    if (ecs_look(session, task->config, ecs_state_text(task->metadata, "cluster"), arn,
                 clock_deadline_ms(LOOK_MS), &view, err) < 0) {
        log_debug("%s", err->message);
        return 0; /* that AWS cannot be asked says nothing about the task */
    }
    if (view.missing) {
        bool young = session->launched_ms != 0 &&
                     clock_now_ms() < session->launched_ms + ECS_MISSING_PATIENCE_MS;
        return young ? 0
                     : error_set(err, ERROR_SYSTEM, 0, "ECS does not know task %s any more", arn);
    }
    if (ecs_view_ends(&view)) {
        return ecs_view_error(&view, err);
    }
    if (strcmp(view.status, session->told) != 0) {
        (void)snprintf(session->told, sizeof(session->told), "%s", view.status);
        ecs_tell(task, "task is %s", view.status);
    }
    if (strcmp(view.status, "RUNNING") == 0 && session->running_since_ms == 0) {
        session->running_since_ms = clock_now_ms();
    }
    return 0;
}

/* Many jobs look less often, so that all together leave half of the pace to those that wait for
 * their task. */
static int64_t ecs_watch_pause_ms(const struct config *config)
{
    int64_t jobs = 0;
    DIR *directory = opendir(config->metadata_directory);
    while (directory != NULL && readdir(directory) != NULL) {
        jobs++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    int64_t share_ms = jobs * 2 * 1000 / config->fargate.calls_per_second;
    int64_t own_ms = config->fargate.watch_interval_ms;
    return share_ms > own_ms ? share_ms : own_ms;
}

/* In the process that launched it: as often as the pace allows, for it is called between two tries
 * of SSH. In others: at once, since they ask when they have a reason to, and then not again for
 * some seconds, for a lost link is tried far more often than ECS may be asked. */
static int ecs_alive(struct backend_task *task, struct error *err)
{
    const char *arn = ecs_state_text(task->metadata, "arn");
    struct ecs_session *session = ecs_session_of(task, err);
    if (session == NULL) {
        return -1;
    }
    if (arn == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "no task was started");
    }
    if (session->launched_ms != 0 && check_reach(task, err) < 0) {
        return -1;
    }
    if (session->launched_ms != 0 ? !due(session, task->config)
                                  : clock_now_ms() < session->due_ms) {
        return 0;
    }
    if (session->launched_ms == 0) {
        session->due_ms = clock_deadline_ms(LOOK_PAUSE_MS);
    }
    return look_again(task, session, err);
}

static void ecs_describe(const struct backend_task *task, char *out, size_t room)
{
    const char *arn = ecs_state_text(task->metadata, "arn");
    (void)snprintf(out, room, "%s", arn == NULL ? "(not started)" : ecs_short_name(arn));
}

const struct backend backend_ecs = {
    .name = "ecs",
    .summary = "a task on AWS Fargate",
    .any_image = true,
    .check = ecs_check,
    .directories = ecs_directories,
    .plan = ecs_plan,
    .launch = ecs_launch,
    .patience_ms = ecs_patience_ms,
    .alive = ecs_alive,
    .watch_pause_ms = ecs_watch_pause_ms,
    .stop = ecs_stop,
    .list = ecs_list,
    .stop_listed = ecs_stop_listed,
    .describe = ecs_describe,
    .done = ecs_done,
};
