/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/docker_container.h"
#include "driver/json.h"
#include "driver/owner.h"

#define ID_PREFIX "berth-"

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

static void fill(const struct config *config, const cJSON *entry, struct backend_listed *listed)
{
    const char *state = json_text_at(entry, "State");
    *listed = (struct backend_listed){.started_at_s = json_number_at(entry, "Created")};
    fill_size(config, listed);
    (void)snprintf(listed->job, sizeof(listed->job), "%s", label(entry, DOCKER_JOB_LABEL));
    (void)snprintf(listed->id, sizeof(listed->id), ID_PREFIX "%s", listed->job);
    (void)snprintf(listed->url, sizeof(listed->url), "%s", label(entry, "berth.url"));
    (void)snprintf(listed->state, sizeof(listed->state), "%s",
                   state == NULL ? "network only" : state);
}

/* The entries of 'list' that name a job not yet in 'by_job' move there; 'jobs_only' takes the
 * jobs' own containers. The engine's lists are newest first. */
static int gather(cJSON *by_job, cJSON *list, bool jobs_only)
{
    for (int i = cJSON_GetArraySize(list) - 1; i >= 0; i--) {
        const char *job = label(cJSON_GetArrayItem(list, i), DOCKER_JOB_LABEL);
        bool is_job = strcmp(label(cJSON_GetArrayItem(list, i), DOCKER_ROLE_LABEL), "job") == 0;
        if (job[0] == '\0' || (jobs_only && !is_job) || cJSON_HasObjectItem(by_job, job)) {
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
    char owner[OWNER_BYTES];
    char filter[128];
    cJSON *containers = NULL;
    cJSON *networks = NULL;
    owner_of(docker->config, owner);
    (void)snprintf(filter, sizeof(filter), "{\"label\":[\"%s=%s\"]}", DOCKER_OWNER_LABEL, owner);
    int result = docker_path(path, sizeof(path), "/containers/json?all=1&filters=%s", filter);
    if (result == 0) {
        result = docker_expect(docker, "GET", path, NULL, deadline_ms, &containers, err);
    }
    if (result == 0 && docker_path(path, sizeof(path), "/networks?filters=%s", filter) == 0) {
        result = docker_expect(docker, "GET", path, NULL, deadline_ms, &networks, err);
    }
    if (result == 0 &&
        (gather(by_job, containers, true) < 0 || gather(by_job, containers, false) < 0 ||
         gather(by_job, networks, false) < 0)) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the containers");
    }
    cJSON_Delete(containers);
    cJSON_Delete(networks);
    return result;
}

int docker_list(const struct config *config, backend_visit *visit, void *context,
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

int docker_stop_listed(const struct config *config, const char *id, const char *reason,
                       int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    (void)reason; /* the engine has no place for one */
    if (strncmp(id, ID_PREFIX, strlen(ID_PREFIX)) != 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is no container of a job", id);
    }
    if (docker_open(config, NULL, &docker, err) < 0) {
        return -1;
    }
    int result = docker_remove_job(docker, id + strlen(ID_PREFIX), config->cancel_grace_ms,
                                   deadline_ms, err);
    docker_close(docker);
    return result;
}
