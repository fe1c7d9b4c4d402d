/* SPDX-License-Identifier: MIT */
/*
 * The backend 'docker': a task is a container of a Docker Engine, with its services on a network of
 * their own. Names are derived from the job and every object has the job's label, so cleanup finds
 * what a killed process made without any state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker/container.h"
#include "driver/backend/docker/image.h"
#include "driver/backend/docker/job.h"
#include "driver/backend/docker/logs.h"
#include "driver/backend/docker/service_logs.h"
#include "driver/backend/docker/task.h"
#include "driver/base/json.h"
#include "driver/record/runner_id.h"

#define LOOK_MS       10000 /* of one answer whether the container runs */
#define HURRY_MS      2000  /* the same after a request to stop */
#define AWAY_MS       45000 /* how long a restart of a busy engine may take */
#define AWAY_ROUND_MS 500
#define LATE_MS       2000
#define LATE_ROUND_MS 200
#define ID_PREFIX     "berth-"

static const char *label(const cJSON *entry, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json_at(entry, "Labels"), name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* Every job of a runner has the same limits. */
static void fill_size(const struct config *config, struct backend_listed *listed)
{
    listed->vcpus = (double)config->docker.nano_cpus / 1e9;
    listed->memory_gib = (double)config->docker.memory_bytes / (double)(1UL << 30);
    if (listed->vcpus > 0 && listed->memory_gib > 0) {
        (void)snprintf(listed->size, sizeof(listed->size), "%g CPU, %g GiB", listed->vcpus,
                       listed->memory_gib);
    }
}

/* Of a container. */
static bool is_end(const char *state)
{
    return strcmp(state, "exited") == 0 || strcmp(state, "dead") == 0 ||
           strcmp(state, "removing") == 0;
}

static void fill(const struct config *config, const cJSON *entry, struct backend_listed *listed)
{
    const char *state = json_text_at(entry, "State");
    *listed = (struct backend_listed){.started_at_s = json_number_at(entry, "Created"),
                                      .ended = state != NULL && is_end(state)};
    fill_size(config, listed);
    (void)snprintf(listed->job, sizeof(listed->job), "%s", label(entry, DOCKER_JOB_LABEL));
    (void)snprintf(listed->id, sizeof(listed->id), ID_PREFIX "%s", listed->job);
    (void)snprintf(listed->url, sizeof(listed->url), "%s", label(entry, "berth.url"));
    (void)snprintf(listed->state, sizeof(listed->state), "%s",
                   state == NULL ? "network or volume only" : state);
}

/* Moves entries of 'list' whose job is not in 'by_job' yet; with 'jobs_only' only containers with
 * the role "job". The engine lists the newest first. */
static int gather(cJSON *by_job, const cJSON *list, bool jobs_only)
{
    for (int i = cJSON_GetArraySize(list) - 1; i >= 0; i--) {
        const char *job = label(cJSON_GetArrayItem(list, i), DOCKER_JOB_LABEL);
        bool is_job = strcmp(label(cJSON_GetArrayItem(list, i), DOCKER_ROLE_LABEL), "job") == 0;
        if (job[0] == '\0' || (jobs_only && !is_job) ||
            cJSON_GetObjectItemCaseSensitive(by_job, job) != NULL) {
            continue;
        }
        cJSON *copy = cJSON_Duplicate(cJSON_GetArrayItem(list, i), 1);
        if (copy == NULL || !cJSON_AddItemToObject(by_job, job, copy)) {
            cJSON_Delete(copy);
            return -1;
        }
    }
    return 0;
}

static int gather_all(struct docker *docker, cJSON *by_job, int64_t deadline_ms, struct error *err)
{
    char path[256];
    char owner[RUNNER_ID_BYTES];
    char filter[128];
    cJSON *containers = NULL;
    cJSON *networks = NULL;
    cJSON *volumes = NULL;
    runner_id_get(docker->config, owner);
    (void)snprintf(filter, sizeof(filter), "{\"label\":[\"%s=%s\"]}", DOCKER_OWNER_LABEL, owner);
    int result = docker_path(path, sizeof(path), "/containers/json?all=1&filters=%s", filter);
    if (result == 0) {
        result = docker_expect(docker, "GET", path, NULL, deadline_ms, &containers, err);
    }
    if (result == 0 && docker_path(path, sizeof(path), "/networks?filters=%s", filter) == 0) {
        result = docker_expect(docker, "GET", path, NULL, deadline_ms, &networks, err);
    }
    if (result == 0 && docker_path(path, sizeof(path), "/volumes?filters=%s", filter) == 0) {
        result = docker_expect(docker, "GET", path, NULL, deadline_ms, &volumes, err);
    }
    if (result == 0 &&
        (gather(by_job, containers, true) < 0 || gather(by_job, containers, false) < 0 ||
         gather(by_job, networks, false) < 0 ||
         gather(by_job, cJSON_GetObjectItemCaseSensitive(volumes, "Volumes"), false) < 0)) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the containers");
    }
    cJSON_Delete(containers);
    cJSON_Delete(networks);
    cJSON_Delete(volumes);
    return result;
}

static int docker_list(const struct config *config, backend_visit *visit, void *context,
                       int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    if (docker_open(config, NULL, &docker, err) < 0) {
        return -1;
    }
    cJSON *by_job = cJSON_CreateObject();
    int result = by_job == NULL ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list")
                                : gather_all(docker, by_job, deadline_ms, err);
    docker_close(docker);
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, by_job)
    {
        struct backend_listed listed;
        fill(config, entry, &listed);
        result = result < 0 ? -1 : visit(context, &listed, err);
    }
    cJSON_Delete(by_job);
    return result < 0 ? -1 : 0;
}

static int docker_stop_listed(const struct config *config, const char *id, const char *reason,
                              int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    (void)reason; /* Docker records no reason */
    if (strncmp(id, ID_PREFIX, strlen(ID_PREFIX)) != 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not the container of a job", id);
    }
    if (docker_open(config, NULL, &docker, err) < 0) {
        return -1;
    }
    int result = docker_remove_job(docker, id + strlen(ID_PREFIX), config->cancel_grace_ms,
                                   deadline_ms, err);
    docker_close(docker);
    return result;
}

static const char *id_of(const struct backend_task *task)
{
    const char *id = json_text_at(task->metadata->state, DOCKER_STATE_ID);
    return id != NULL ? id : json_text_at(task->metadata->state, DOCKER_STATE_NAME);
}

static int docker_check(const struct config *config, struct error *err)
{
    const char *agent = config->docker.agent;
    if (config->docker.image == NULL && config->docker.allowed_images.count == 0) {
        (void)error_set(err, ERROR_USAGE, 0, "no image is configured");
        return error_hint(err, "set [Docker] Image or AllowedImages, or use --image");
    }
    if (agent != NULL && access(agent, R_OK) < 0) {
        int reason = errno;
        char place[CONFIG_PLACE_BYTES];
        return error_set(err, ERROR_USAGE, reason, "%s: cannot read '%s'",
                         config_place(config, &config->docker.agent, "BERTH_AGENT", place), agent);
    }
    return docker_image_check_policy(config, NULL, err) < 0 ? -1 : docker_job_check(config, err);
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
    docker_task_name(task->metadata->job, METADATA_JOB, name);
    task->metadata->has_helper = json_text_at(task->metadata->state, BACKEND_HELPER_IMAGE) != NULL;
    return docker_set_state(task, DOCKER_STATE_NAME, name, err);
}

/* Returns -1 if the engine says that the container does not run, 0 if it runs. An engine that
 * restarts, with containers that keep running, does not answer, or with an error of its own: that
 * does not mean that the task has ended. */
static int look(struct docker *docker, enum metadata_container which, const char *id,
                int64_t deadline_ms, struct error *err)
{
    cJSON *container = NULL;
    int result = 0;
    struct error unknown = {0};
    int found = docker_container_inspect(docker, id, deadline_ms, &container, &unknown);
    if (found == 0) {
        result = error_set(err, ERROR_SYSTEM, 0, "the %s's container was removed",
                           docker_container_word(which));
    } else if (found == 1 && cJSON_IsFalse(json_at(container, "State.Running"))) {
        result = docker_end_error(docker, container, which, id, err);
    } else if (found < 0) {
        log_debug("%s", unknown.message);
    }
    cJSON_Delete(container);
    return result;
}

static int docker_alive(struct backend_task *task, enum backend_asking asking, struct error *err)
{
    (void)asking;
    struct docker *docker = NULL;
    const char *id = id_of(task);
    if (id == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "the job has no container");
    }
    bool hurry = task->signals != NULL && task->signals->first != 0;
    int64_t deadline_ms = clock_deadline_ms(hurry ? HURRY_MS : LOOK_MS);
    struct error unknown = {0};
    if (docker_open(task->config, task->signals, &docker, &unknown) < 0) {
        log_debug("%s", unknown.message);
        return 0;
    }
    char helper[DOCKER_TASK_NAME_BYTES];
    docker_task_name(task->metadata->job, METADATA_HELPER, helper);
    int result = look(docker, METADATA_JOB, id, deadline_ms, err);
    if (result == 0 && task->metadata->has_helper) {
        result = look(docker, METADATA_HELPER, helper, deadline_ms, err);
    }
    docker_close(docker);
    return result;
}

/* After a killed prepare the engine may still be creating a container that is not listed yet: look
 * again for some time and remove it too. */
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

/* A restart of the engine stops its containers, so cleanups run while it is down: wait for it. */
static int docker_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    int64_t until_ms = clock_earlier_ms(clock_deadline_ms(AWAY_MS), deadline_ms);
    bool reported = false;
    if (json_text_at(task->metadata->state, DOCKER_STATE_NAME) == NULL) {
        return 0;
    }
    while (try_stop(task, deadline_ms, err) < 0) {
        int64_t next_ms = clock_deadline_ms(AWAY_ROUND_MS);
        if (err->kind == ERROR_USAGE || next_ms >= until_ms) {
            return -1;
        }
        if (!reported) {
            char text[ERROR_TEXT_BYTES];
            log_warn("%s; trying again for up to %lld s", error_text(err, text),
                     (long long)(until_ms - clock_now_ms()) / 1000);
        }
        reported = true;
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
    .uses_keywords = true,
    .summary = "a container of a Docker Engine",
    .list_pause_ms = 2000,
    .check = docker_check,
    .directories = docker_directories,
    .fetch = docker_fetch,
    .plan = docker_plan,
    .launch = docker_launch,
    .settle = docker_settle,
    .alive = docker_alive,
    .service_logs = docker_service_logs,
    .stop = docker_stop,
    .list = docker_list,
    .stop_listed = docker_stop_listed,
    .logs = docker_logs,
    .requirements = docker_requirements,
    .describe = docker_describe,
};
