/* SPDX-License-Identifier: MIT */
/*
 * The backend 'docker': a task is a container of a Docker Engine, with its services beside it on a
 * network of their own. Names come from the job and every piece has the job's label, so whatever
 * a process that died made is found again without any state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_image.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_list.h"
#include "driver/backend/docker_task.h"
#include "driver/json.h"

#define CALL_MS           30000
#define AWAY_MS           45000 /* a restart of a busy engine */
#define AWAY_ROUND_MS     500
#define LOG_CEILING_BYTES (4UL << 10)
#define LOG_TAIL_BYTES    600
#define LATE_MS           2000
#define LATE_ROUND_MS     200

void docker_task_name(const char *job, char out[DOCKER_TASK_NAME_BYTES])
{
    (void)snprintf(out, DOCKER_TASK_NAME_BYTES, "berth-%s", job);
}

static const char *id_of(const struct backend_task *task)
{
    const char *id = json_text_at(task->metadata->state, DOCKER_STATE_ID);
    return id != NULL ? id : json_text_at(task->metadata->state, DOCKER_STATE_NAME);
}

int docker_set_state(struct backend_task *task, const char *name, const char *value,
                     struct error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, name);
    return cJSON_AddStringToObject(task->metadata->state, name, value) != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the container's name");
}

static int docker_check(const struct config *config, struct error *err)
{
    const char *agent = config->docker.agent;
    if (agent != NULL && access(agent, R_OK) < 0) {
        return error_set(err, ERROR_USAGE, errno, "cannot read [Docker] Agent '%s'", agent);
    }
    return docker_image_check_policy(config, err) < 0 ? -1 : docker_job_check(config, err);
}

static int docker_directories(const struct config *config, const char *job,
                              struct backend_directories *out_directories, struct error *err)
{
    (void)config;
    (void)job;
    (void)err;
    (void)snprintf(out_directories->builds, sizeof(out_directories->builds), DOCKER_BUILDS);
    (void)snprintf(out_directories->cache, sizeof(out_directories->cache), DOCKER_CACHE);
    return 0;
}

static int docker_plan(struct backend_task *task, struct error *err)
{
    char name[DOCKER_TASK_NAME_BYTES];
    docker_task_name(task->metadata->job, name);
    return docker_set_state(task, DOCKER_STATE_NAME, name, err);
}

int docker_tell_end(struct docker *docker, const cJSON *container, const char *id,
                    struct error *err)
{
    char tail[LOG_TAIL_BYTES] = "";
    struct buffer text;
    const char *failure = json_text_at(container, "State.Error");
    buffer_init(&text, LOG_CEILING_BYTES);
    docker_container_logs(docker, id, clock_deadline_ms(CALL_MS), &text);
    if (text.length > 0) {
        size_t skip = text.length < sizeof(tail) ? 0 : text.length - (sizeof(tail) - 1);
        (void)snprintf(tail, sizeof(tail), "%s", text.bytes + skip);
    }
    buffer_done(&text);
    for (char *at = tail; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at;
    }
    return error_set(err, ERROR_SYSTEM, 0,
                     "the job's container has ended with exit code %lld%s%s%s%s%s",
                     (long long)json_number_at(container, "State.ExitCode"),
                     json_true_at(container, "State.OOMKilled") ? ", out of memory" : "",
                     failure != NULL && failure[0] != '\0' ? ": " : "",
                     failure != NULL ? failure : "", tail[0] != '\0' ? ": " : "", tail);
}

static int docker_alive(struct backend_task *task, struct error *err)
{
    struct docker *docker = NULL;
    cJSON *container = NULL;
    const char *id = id_of(task);
    if (id == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "the job has no container");
    }
    if (docker_open(task->config, task->signals, &docker, err) < 0) {
        return -1;
    }
    int found = docker_container_inspect(docker, id, clock_deadline_ms(CALL_MS), &container, err);
    int result = found < 0 ? -1 : 0;
    if (found == 0) {
        result = error_set(err, ERROR_SYSTEM, 0, "the job's container is gone");
    } else if (found == 1 && !json_true_at(container, "State.Running")) {
        result = docker_tell_end(docker, container, id, err);
    }
    cJSON_Delete(container);
    docker_close(docker);
    return result;
}

/* A prepare that was killed may have asked for a container that the engine is still making, which
 * no list shows: what appears a moment later is removed too. */
static int remove_late(struct backend_task *task, struct docker *docker, int64_t deadline_ms,
                       struct error *err)
{
    int64_t until_ms = clock_earlier_ms(clock_deadline_ms(LATE_MS), deadline_ms);
    while (clock_now_ms() < until_ms) {
        if (signals_wait(task->signals, -1, clock_deadline_ms(LATE_ROUND_MS)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (docker_remove_job(docker, task->metadata->job, 0, deadline_ms, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int try_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    if (docker_open(task->config, task->signals, &docker, err) < 0) {
        return -1;
    }
    int result = docker_remove_job(docker, task->metadata->job, task->config->cancel_grace_ms,
                                   deadline_ms, err);
    if (result == 0 && json_text_at(task->metadata->state, DOCKER_STATE_ID) == NULL &&
        json_text_at(task->metadata->state, DOCKER_STATE_FAILED) == NULL) {
        result = remove_late(task, docker, deadline_ms, err);
    }
    docker_close(docker);
    return result;
}

/* An engine that is restarted ends its containers, so the jobs' cleanups come while it is away: it
 * gets some time to come back. */
static int docker_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    int64_t until_ms = clock_earlier_ms(clock_deadline_ms(AWAY_MS), deadline_ms);
    bool told = false;
    if (json_text_at(task->metadata->state, DOCKER_STATE_NAME) == NULL) {
        return 0;
    }
    while (try_stop(task, deadline_ms, err) < 0) {
        int64_t next_ms = clock_deadline_ms(AWAY_ROUND_MS);
        if (err->kind == ERROR_USAGE || next_ms >= until_ms) {
            return -1;
        }
        if (!told) {
            log_warn("%s; trying again for up to %lld s", err->message,
                     (long long)(until_ms - clock_now_ms()) / 1000);
        }
        told = true;
        if (signals_wait(task->signals, -1, next_ms) < 0) {
            return -1;
        }
    }
    return 0;
}

static void docker_describe(const struct backend_task *task, char *out, size_t room)
{
    const char *id = json_text_at(task->metadata->state, DOCKER_STATE_ID);
    const char *name = json_text_at(task->metadata->state, DOCKER_STATE_NAME);
    if (id != NULL) {
        (void)snprintf(out, room, "docker-%.12s", id);
    } else {
        (void)snprintf(out, room, "%s", name == NULL ? "docker" : name);
    }
}

const struct backend backend_docker = {
    .name = "docker",
    .summary = "a container of a Docker Engine",
    .check = docker_check,
    .directories = docker_directories,
    .fetch = docker_fetch,
    .plan = docker_plan,
    .launch = docker_launch,
    .alive = docker_alive,
    .stop = docker_stop,
    .list = docker_list,
    .stop_listed = docker_stop_listed,
    .describe = docker_describe,
};
