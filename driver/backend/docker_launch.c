/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_image.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_services.h"
#include "driver/backend/docker_task.h"
#include "driver/json.h"
#include "driver/runner.h"

/* One launch on its way. */
struct launch {
    struct backend_task *task;
    struct docker *docker;
    struct docker_job job;
    cJSON *image;    /* as the engine describes it */
    cJSON *services; /* NULL: none */
    char name[DOCKER_TASK_NAME_BYTES];
    char id[DOCKER_ID_BYTES];
    char directory[PATH_MAX]; /* the current one */
};

/* The job's own words are looked at before anything is touched: a mistake in them needs no
 * engine to be told. */
static int read_request(struct launch *launch, struct error *err)
{
    const struct config *config = launch->task->config;
    const char *services = launch->task->tied ? NULL : runner_variable("CI_JOB_SERVICES");
    if (docker_job_image(config, &launch->job.image, err) < 0) {
        return -1;
    }
    return docker_services_parse(config, services, &launch->services, err);
}

int docker_fetch(struct backend_task *task, struct error *err)
{
    struct launch launch = {.task = task};
    if (read_request(&launch, err) < 0) {
        return -1;
    }
    int result = docker_open(task->config, task->signals, &launch.docker, err);
    if (result == 0) {
        result = docker_image_ensure(launch.docker, launch.job.image, err);
    }
    if (result == 0) {
        result = docker_services_ensure_images(launch.docker, launch.services, err);
    }
    docker_close(launch.docker);
    cJSON_Delete(launch.services);
    return result;
}

/* The agent inside this program is for this program's own kind of processor. */
static int check_machine(const struct launch *launch, struct error *err)
{
#if defined(__x86_64__)
    static const char ours[] = "amd64";
#elif defined(__aarch64__)
    static const char ours[] = "arm64";
#else
#error "the name that Docker has for this processor is missing here"
#endif
    const char *theirs = json_text_at(launch->image, "Architecture");
    if (theirs == NULL || strcmp(theirs, ours) == 0 || launch->task->config->docker.agent != NULL) {
        return 0;
    }
    return error_set(err, ERROR_USAGE, 0,
                     "the image '%s' is for %s, and the agent inside this program for %s; name a "
                     "berth-agent for %s with [Docker] Agent",
                     launch->job.image, theirs, ours, theirs);
}

static bool has_option(const cJSON *list, const char *word)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        if (cJSON_IsString(entry) && strstr(entry->valuestring, word) != NULL) {
            return true;
        }
    }
    return false;
}

/* Containers of an engine in a virtual machine or in a user's own network namespace have addresses
 * that this machine does not know. */
static int choose_way(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const struct docker *docker = launch->docker;
    enum config_tristate wanted = docker->config->docker.publish;
    cJSON *facts = NULL;
    launch->job.published_everywhere = docker->machine[0] != '\0';
    launch->job.published = wanted == CONFIG_YES;
    if (wanted != CONFIG_UNSET) {
        return 0;
    }
    if (docker->machine[0] != '\0') {
        launch->job.published = true;
        return 0;
    }
    if (docker_expect(launch->docker, "GET", "/info", NULL, deadline_ms, &facts, err) < 0) {
        return -1;
    }
    const char *system = json_text_at(facts, "OperatingSystem");
    launch->job.published = (system != NULL && strstr(system, "Docker Desktop") != NULL) ||
                            has_option(json_at(facts, "SecurityOptions"), "name=rootless");
    cJSON_Delete(facts);
    return 0;
}

/* Where an 'exec' runs its command: what the person says, else the current directory at its own
 * path, else the image's working directory. */
static int choose_directory(struct launch *launch, struct error *err)
{
    static const char *const taken[] = {
        "/",          "/bin",       "/boot",          "/dev",           "/etc",
        "/lib",       "/lib64",     "/opt",           "/proc",          "/run",
        "/sbin",      "/sys",       "/usr",           "/usr/bin",       "/usr/lib",
        "/usr/lib64", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin",
        "/usr/share", "/var",       "/var/lib",
    };
    const struct config_docker *docker = &launch->task->config->docker;
    const char *directory = docker->workdir;
    if (!docker->no_mount && launch->docker->machine[0] == '\0') {
        if (getcwd(launch->directory, sizeof(launch->directory)) == NULL) {
            return error_set(err, ERROR_USAGE, errno, "the current directory");
        }
        bool hides = false;
        for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
            hides = hides || strcmp(launch->directory, taken[i]) == 0;
        }
        if (hides) {
            log_info("'%s' is not mounted: it would hide the image's own", launch->directory);
        } else {
            launch->job.mounted = launch->directory;
            directory = directory != NULL ? directory : launch->directory;
        }
    }
    if (directory == NULL) {
        directory = json_text_at(launch->image, "Config.WorkingDir");
    }
    return docker_set_state(launch->task, BACKEND_WORKDIR,
                            directory == NULL || directory[0] == '\0' ? "/" : directory, err);
}

static int look_around(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    if (docker_image_inspect(launch->docker, launch->job.image, &launch->image, err) < 0 ||
        check_machine(launch, err) < 0 || choose_way(launch, deadline_ms, err) < 0) {
        return -1;
    }
    return launch->task->tied ? choose_directory(launch, err) : 0;
}

static int start_services(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const char *job = launch->task->metadata->job;
    bool ok = true;
    if (launch->services == NULL) {
        return 0;
    }
    cJSON *labels = docker_job_labels(launch->task->config, job, "network", &ok);
    int result =
        !ok ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the network")
            : docker_network_create(launch->docker, launch->name, job, labels, deadline_ms, err);
    cJSON_Delete(labels);
    if (result == 0) {
        launch->job.network = launch->name;
        result = docker_services_start(launch->docker, launch->services, job, launch->name,
                                       deadline_ms, err);
    }
    return result;
}

/* With services and a configured network, the job is in both. */
static int join_network(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const char *configured = launch->task->config->docker.network;
    char path[512];
    bool ok = true;
    if (launch->job.network == NULL || configured == NULL) {
        return 0;
    }
    cJSON *body = cJSON_CreateObject();
    json_text(body, "Container", launch->id, &ok);
    int result = !ok || docker_path(path, sizeof(path), "/networks/%s/connect", configured) < 0
                     ? error_set(err, ERROR_USAGE, 0, "[Docker] Network '%s'", configured)
                     : docker_expect(launch->docker, "POST", path, body, deadline_ms, NULL, err);
    cJSON_Delete(body);
    return result;
}

static int start_container(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const char *job = launch->task->metadata->job;
    cJSON *body = docker_job_body(&launch->job, err);
    if (body == NULL) {
        return -1;
    }
    int result = docker_container_create(launch->docker, launch->name, job, body, deadline_ms,
                                         launch->id, err);
    docker_job_delete_body(body);
    if (result < 0 || docker_set_state(launch->task, DOCKER_STATE_ID, launch->id, err) < 0 ||
        docker_job_put_agent(launch->docker, &launch->job, launch->id, deadline_ms, err) < 0 ||
        join_network(launch, deadline_ms, err) < 0) {
        return -1;
    }
    return docker_container_start(launch->docker, launch->id, deadline_ms, err);
}

static int find_task(const struct launch *launch, int64_t deadline_ms, struct error *err)
{
    cJSON *container = NULL;
    int found = docker_container_inspect(launch->docker, launch->id, deadline_ms, &container, err);
    if (found <= 0) {
        return found < 0 ? -1
                         : error_set(err, ERROR_SYSTEM, 0,
                                     "the job's container has ended right after its start");
    }
    int result = 0;
    if (!json_true_at(container, "State.Running")) {
        result = docker_tell_end(launch->docker, container, launch->id, err);
    } else {
        result = docker_find_address(launch->docker, container, launch->job.published,
                                     launch->task->metadata, err);
    }
    cJSON_Delete(container);
    return result;
}

static int run_launch(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    struct backend_task *task = launch->task;
    if (read_request(launch, err) < 0 ||
        docker_open(task->config, task->signals, &launch->docker, err) < 0 ||
        look_around(launch, deadline_ms, err) < 0 || start_services(launch, deadline_ms, err) < 0 ||
        start_container(launch, deadline_ms, err) < 0 || find_task(launch, deadline_ms, err) < 0) {
        return -1;
    }
    return launch->services == NULL
               ? 0
               : docker_services_await(launch->docker, launch->services, task->metadata->job,
                                       launch->name, !launch->job.published, deadline_ms, err);
}

int docker_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct launch *launch = calloc(1, sizeof(*launch));
    if (launch == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot launch a container");
    }
    launch->task = task;
    launch->job.task = task;
    docker_task_name(task->metadata->job, launch->name);
    int result = run_launch(launch, deadline_ms, err);
    struct error ignored;
    /* An answer of the engine; after a signal or a deadline it may still be at work. */
    if (result < 0 && err->kind == ERROR_USAGE &&
        docker_set_state(task, DOCKER_STATE_FAILED, "yes", &ignored) < 0) {
        log_debug("%s", ignored.message);
    }
    docker_close(launch->docker);
    cJSON_Delete(launch->image);
    cJSON_Delete(launch->services);
    free(launch);
    return result;
}
