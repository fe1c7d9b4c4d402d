/* SPDX-License-Identifier: MIT */
/*
 * The backend 'docker': a task is a container of a Docker Engine, with its services beside it on a
 * network of their own. Names come from the job and every piece has the job's label, so whatever
 * a process that died made is found again without any state.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_image.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_list.h"
#include "driver/backend/docker_services.h"
#include "driver/json.h"
#include "driver/runner.h"

#define NAME_BYTES        96
#define CALL_MS           30000
#define LOG_CEILING_BYTES (4UL << 10)
#define LOG_TAIL_BYTES    600
#define STATE_NAME        "container"
#define STATE_ID          "id"

/* One launch on its way. */
struct launch {
    struct backend_task *task;
    struct docker *docker;
    struct docker_job job;
    cJSON *image;    /* as the engine describes it */
    cJSON *services; /* NULL: none */
    char name[NAME_BYTES];
    char id[DOCKER_ID_BYTES];
    char directory[PATH_MAX]; /* the current one */
};

static void name_of(const char *job, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "berth-%s", job);
}

static const char *id_of(const struct backend_task *task)
{
    const char *id = json_text_at(task->metadata->state, STATE_ID);
    return id != NULL ? id : json_text_at(task->metadata->state, STATE_NAME);
}

static int set_state(struct backend_task *task, const char *name, const char *value,
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

static int docker_fetch(struct backend_task *task, struct error *err)
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

static int docker_plan(struct backend_task *task, struct error *err)
{
    char name[NAME_BYTES];
    name_of(task->metadata->job, name);
    return set_state(task, STATE_NAME, name, err);
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
    static const char *const taken[] = {"/",     "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64",
                                        "/proc", "/run", "/sbin", "/sys", "/usr", "/var"};
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
    return set_state(launch->task, BACKEND_WORKDIR,
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
    if (result < 0 || set_state(launch->task, STATE_ID, launch->id, err) < 0 ||
        docker_job_put_agent(launch->docker, &launch->job, launch->id, deadline_ms, err) < 0 ||
        join_network(launch, deadline_ms, err) < 0) {
        return -1;
    }
    return docker_container_start(launch->docker, launch->id, deadline_ms, err);
}

static int set_host(struct backend_task *task, const char *address, int64_t port, struct error *err)
{
    if (address == NULL || address[0] == '\0' || strlen(address) >= METADATA_ADDRESS_BYTES ||
        port < 1 || port > 65535) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the container has no address to reach it at; name a bridge network with "
                         "[Docker] Network, or set Publish = true");
    }
    (void)snprintf(task->metadata->host, METADATA_ADDRESS_BYTES, "%s", address);
    task->metadata->port = (int)port;
    return 0;
}

/* An SSH target is a numeric address. */
static int resolve(const char *machine, char out[METADATA_ADDRESS_BYTES], struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(machine, NULL, &hints, &found);
    if (failure == 0) {
        failure = getnameinfo(found->ai_addr, found->ai_addrlen, out, METADATA_ADDRESS_BYTES, NULL,
                              0, NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    return failure == 0 ? 0
                        : error_set(err, ERROR_SYSTEM, 0, "cannot resolve '%s': %s", machine,
                                    gai_strerror(failure));
}

static int find_published(const struct launch *launch, const cJSON *container, struct error *err)
{
    char port[32];
    char address[METADATA_ADDRESS_BYTES] = "127.0.0.1";
    int64_t number = 0;
    (void)snprintf(port, sizeof(port), "%d/tcp", DOCKER_AGENT_PORT);
    const cJSON *bindings =
        cJSON_GetObjectItemCaseSensitive(json_at(container, "NetworkSettings.Ports"), port);
    const char *text = json_text_at(cJSON_GetArrayItem(bindings, 0), "HostPort");
    if (text == NULL || parse_integer(text, 1, 65535, &number) < 0) {
        number = 0;
    }
    if (launch->docker->machine[0] != '\0' && resolve(launch->docker->machine, address, err) < 0) {
        return -1;
    }
    return set_host(launch->task, address, number, err);
}

/* The configured network first: there the machine that runs this program may be a container
 * itself. */
static int find_address(const struct launch *launch, const cJSON *container, struct error *err)
{
    const cJSON *networks = json_at(container, "NetworkSettings.Networks");
    const char *preferred = launch->task->config->docker.network;
    const cJSON *network =
        preferred == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(networks, preferred);
    const char *address = json_text_at(network, "IPAddress");
    cJSON_ArrayForEach(network, networks)
    {
        if (address == NULL || address[0] == '\0') {
            address = json_text_at(network, "IPAddress");
        }
    }
    return set_host(launch->task, address, DOCKER_AGENT_PORT, err);
}

/* What the container's end looks like from outside, with the end of its log in one line. */
static int tell_end(struct docker *docker, const cJSON *container, const char *id,
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
        result = tell_end(launch->docker, container, launch->id, err);
    } else {
        result = launch->job.published ? find_published(launch, container, err)
                                       : find_address(launch, container, err);
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

static int docker_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct launch *launch = calloc(1, sizeof(*launch));
    if (launch == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot launch a container");
    }
    launch->task = task;
    launch->job.task = task;
    name_of(task->metadata->job, launch->name);
    int result = run_launch(launch, deadline_ms, err);
    docker_close(launch->docker);
    cJSON_Delete(launch->image);
    cJSON_Delete(launch->services);
    free(launch);
    return result;
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
        result = tell_end(docker, container, id, err);
    }
    cJSON_Delete(container);
    docker_close(docker);
    return result;
}

static int docker_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    if (json_text_at(task->metadata->state, STATE_NAME) == NULL) {
        return 0;
    }
    if (docker_open(task->config, task->signals, &docker, err) < 0) {
        return -1;
    }
    int result = docker_remove_job(docker, task->metadata->job, task->config->cancel_grace_ms,
                                   deadline_ms, err);
    docker_close(docker);
    return result;
}

static void docker_describe(const struct backend_task *task, char *out, size_t room)
{
    const char *id = json_text_at(task->metadata->state, STATE_ID);
    const char *name = json_text_at(task->metadata->state, STATE_NAME);
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
