/* SPDX-License-Identifier: MIT */
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
#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/container.h"
#include "driver/backend/docker/helper.h"
#include "driver/backend/docker/image.h"
#include "driver/backend/docker/job.h"
#include "driver/backend/docker/request.h"
#include "driver/backend/docker/services.h"
#include "driver/backend/docker/task.h"
#include "driver/backend/docker/volumes.h"
#include "driver/base/json.h"
#include "driver/registry/platform.h"

static int set_host(struct metadata_agent *agent, const char *address, int64_t port,
                    struct error *err)
{
    if (address == NULL || address[0] == '\0' || strlen(address) >= METADATA_ADDRESS_BYTES ||
        port < 1 || port > 65535) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the container has no address; name a bridge network with "
                         "[Docker] Network, or set Publish = true");
    }
    (void)snprintf(agent->host, METADATA_ADDRESS_BYTES, "%s", address);
    agent->port = (int)port;
    return 0;
}

/* The metadata holds a numeric address. */
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

static int find_published(const struct docker *docker, const cJSON *container,
                          struct metadata_agent *agent, struct error *err)
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
    if (docker->machine[0] != '\0' && resolve(docker->machine, address, err) < 0) {
        return -1;
    }
    return set_host(agent, address, number, err);
}

/* The configured network first: the driver itself may run in a container there. */
static int find_own(const struct docker *docker, const cJSON *container,
                    struct metadata_agent *agent, struct error *err)
{
    const cJSON *networks = json_at(container, "NetworkSettings.Networks");
    const char *preferred = docker->config->docker.network;
    const cJSON *network =
        preferred == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(networks, preferred);
    const char *address = json_text_at(network, "IPAddress");
    cJSON_ArrayForEach(network, networks)
    {
        if (address == NULL || address[0] == '\0') {
            address = json_text_at(network, "IPAddress");
        }
    }
    return set_host(agent, address, DOCKER_AGENT_PORT, err);
}

struct launch {
    struct backend_task *task;
    struct docker *docker;
    struct docker_job job;
    struct docker_job helper; /* without an image: none */
    struct job_keywords request;
    struct docker_agent agent; /* for the job's container */
    cJSON *image;              /* the engine's description of the job's */
    const cJSON *services;     /* of the request; NULL: none */
    char platform[IMAGE_PLATFORM_BYTES];
    char name[DOCKER_TASK_NAME_BYTES];
    char builds[DOCKER_VOLUME_NAME_BYTES];
    char id[DOCKER_ID_BYTES];
    char directory[PATH_MAX]; /* the current one */
    int64_t begun_ms;
};

/* The job's 'entrypoint:'; [""] is none. Without a helper GitLab's own scripts run in this
 * container too, for which the words are not meant. */
static const cJSON *choose_entrypoint(const struct launch *launch)
{
    const cJSON *words = json_at(launch->request.image, "entrypoint");
    const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(words, 0));
    bool has_helper = json_text_at(launch->task->metadata->state, BACKEND_HELPER_IMAGE) != NULL;
    return has_helper && first != NULL && first[0] != '\0' ? words : NULL;
}

/* Checks the job's request first, so that its mistakes are reported without an engine. */
static int read_request(struct launch *launch, struct error *err)
{
    if (docker_request_read(launch->task->config, !launch->task->die_with_parent, &launch->request,
                            err) < 0) {
        return -1;
    }
    launch->services = launch->request.services;
    launch->job.image = json_text_at(launch->request.image, "name");
    launch->job.user = json_text_at(launch->request.image, "user");
    launch->job.entrypoint = choose_entrypoint(launch);
    return 0;
}

int docker_fetch(struct backend_task *task, struct error *err)
{
    struct launch launch = {.task = task};
    char architecture[ELF_PROCESSOR_BYTES];
    docker_agent_processor(task->config, architecture);
    int result = read_request(&launch, err);
    if (result == 0) {
        result = docker_open(task->config, task->signals, &launch.docker, err);
    }
    if (result == 0) {
        const struct docker_wanted wanted = {
            .name = launch.job.image,
            .platform = json_text_at(launch.request.image, "platform"),
            .architecture = architecture,
            .policies = json_at(launch.request.image, "pull_policy")};
        result = docker_image_ensure(launch.docker, &wanted, err);
    }
    if (result == 0) {
        result = docker_services_ensure_images(launch.docker, launch.services, err);
    }
    if (result == 0) {
        result = docker_helper_fetch(task, launch.docker, err);
    }
    if (result == 0 && json_text_at(task->metadata->state, BACKEND_HELPER_IMAGE) == NULL) {
        job_keywords_warn(&launch.request);
    }
    docker_close(launch.docker);
    job_keywords_done(&launch.request);
    return result;
}

/* The platform that 'create' asks for, if the job asks for one. */
static void choose_platform(struct launch *launch)
{
    struct image_platform platform;
    if (json_text_at(launch->request.image, "platform") != NULL) {
        image_platform_of_image(launch->image, &platform);
        image_platform_text(&platform, launch->platform);
        launch->job.platform = launch->platform;
    }
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

/* The addresses of containers cannot be reached if the engine runs in a virtual machine or in a
 * user's network namespace. */
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

/* The working directory of an 'exec': --workdir, else the current directory mounted at the same
 * path, else the image's. */
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
            return error_set(err, ERROR_USAGE, errno, "cannot find the current directory");
        }
        bool hides = false;
        for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
            hides = hides || strcmp(launch->directory, taken[i]) == 0;
        }
        if (hides) {
            log_info("not mounting '%s': it would hide the image's directory", launch->directory);
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

/* The helper has no such volume: what it clones there is not in the job's container. */
static void warn_of_volumes(const struct launch *launch)
{
    const cJSON *volume = NULL;
    cJSON_ArrayForEach(volume, json_at(launch->image, "Config.Volumes"))
    {
        if (launch->helper.image != NULL &&
            docker_volumes_hide_builds(launch->task->config, volume->string)) {
            log_warn("the image '%s' has a VOLUME '%s', which hides from the job what the helper "
                     "writes there, such as its sources; build the image without it",
                     launch->job.image, volume->string);
        }
    }
}

static int look_around(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    if (docker_image_inspect(launch->docker, launch->job.image, &launch->image, err) < 0 ||
        docker_agent_load(launch->task->config, launch->job.image, launch->image, true,
                          &launch->agent, err) < 0 ||
        docker_network_check(launch->docker, deadline_ms, err) < 0 ||
        choose_way(launch, deadline_ms, err) < 0) {
        return -1;
    }
    choose_platform(launch);
    warn_of_volumes(launch);
    launch->job.has_busybox = launch->agent.busybox.length > 0;
    return launch->task->die_with_parent ? choose_directory(launch, err) : 0;
}

/* The engine's labels for what belongs to the job; NULL after filling 'err'. */
static cJSON *make_labels(const struct launch *launch, const char *role, struct error *err)
{
    bool ok = true;
    cJSON *labels = docker_job_labels(launch->task->config, launch->task->metadata->job, role, &ok);
    if (!ok) {
        cJSON_Delete(labels);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the labels of the %s", role);
        return NULL;
    }
    return labels;
}

/* The volume with the builds directory, if there are several containers and the configuration
 * mounts nothing there. The helper may give its files to the job's user in no other. */
static int make_builds(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const struct config *config = launch->task->config;
    bool shared =
        launch->helper.image != NULL || (launch->services != NULL && config->services.builds);
    if (!shared || docker_volumes_have_builds(config)) {
        return 0;
    }
    cJSON *labels = make_labels(launch, "builds", err);
    if (labels == NULL) {
        return -1;
    }
    docker_builds_name(launch->task->metadata->job, launch->builds);
    int result = docker_builds_create(launch->docker, launch->builds, labels, deadline_ms, err);
    cJSON_Delete(labels);
    if (result < 0) {
        return -1;
    }
    launch->job.builds = launch->helper.builds = launch->builds;
    return docker_set_state(launch->task, BACKEND_BUILDS, DOCKER_BUILDS, err);
}

static int start_services(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    const char *job = launch->task->metadata->job;
    if (launch->services == NULL) {
        return 0;
    }
    cJSON *labels = make_labels(launch, "network", err);
    int result = labels == NULL ? -1
                                : docker_network_create(launch->docker, launch->name, job, labels,
                                                        deadline_ms, err);
    cJSON_Delete(labels);
    if (result == 0) {
        const struct docker_service_place place = {.job = job,
                                                   .network = launch->name,
                                                   .builds = launch->job.builds,
                                                   .state = launch->task->metadata->state};
        int64_t begun_ms = clock_now_ms();
        launch->job.network = launch->helper.network = launch->name;
        result = docker_services_start(launch->docker, launch->services, &place, deadline_ms, err);
        launch->task->start.services_ms += clock_now_ms() - begun_ms;
    }
    return result;
}

/* With services and a configured network, the job is in both. */
static int join_network(const struct launch *launch, const char *id, int64_t deadline_ms,
                        struct error *err)
{
    const char *configured = launch->task->config->docker.network;
    char path[512];
    bool ok = true;
    if (launch->job.network == NULL || configured == NULL) {
        return 0;
    }
    cJSON *body = cJSON_CreateObject();
    json_text(body, "Container", id, &ok);
    int result = !ok || docker_path(path, sizeof(path), "/networks/%s/connect", configured) < 0
                     ? error_set(err, ERROR_USAGE, 0, "[Docker] Network '%s'", configured)
                     : docker_expect(launch->docker, "POST", path, body, deadline_ms, NULL, err);
    cJSON_Delete(body);
    return result;
}

/* Creates a container and copies the agent into it. */
static int create_container(struct launch *launch, const struct docker_job *job, const char *name,
                            const struct docker_agent *agent, int64_t deadline_ms,
                            char out_id[DOCKER_ID_BYTES], struct error *err)
{
    const char *directories[DOCKER_JOB_DIRECTORIES + 1];
    cJSON *body = docker_job_body(job, err);
    if (body == NULL) {
        return -1;
    }
    int result = docker_container_create(launch->docker, name, launch->task->metadata->job,
                                         job->platform, body, deadline_ms, out_id, err);
    docker_job_delete_body(body);
    if (result == 0 && !job->is_helper) {
        result = docker_set_state(launch->task, DOCKER_STATE_ID, out_id, err);
    }
    docker_job_directories(job, directories);
    return result < 0 || docker_agent_put(launch->docker, agent, directories, out_id, deadline_ms,
                                          err) < 0
               ? -1
               : join_network(launch, out_id, deadline_ms, err);
}

static int find_agent(const struct launch *launch, enum metadata_container which, const char *id,
                      int64_t deadline_ms, struct error *err)
{
    cJSON *container = NULL;
    struct metadata_agent *agent = &launch->task->metadata->agents[which];
    int found = docker_container_inspect(launch->docker, id, deadline_ms, &container, err);
    if (found <= 0) {
        return found < 0 ? -1
                         : error_set(err, ERROR_SYSTEM, 0,
                                     "the %s's container exited right after its start",
                                     docker_container_word(which));
    }
    int result = 0;
    if (!json_true_at(container, "State.Running")) {
        result = docker_end_error(launch->docker, container, which, id, err);
    } else if (launch->job.published) {
        result = find_published(launch->docker, container, agent, err);
    } else {
        result = find_own(launch->docker, container, agent, err);
    }
    cJSON_Delete(container);
    return result;
}

/* The helper while the engine starts it: over a connection of its own, so that the job's container
 * is made meanwhile. */
struct starting {
    struct docker *docker; /* NULL: there is no helper */
    struct docker_pending pending;
};

static int create_helper(struct launch *launch, int64_t deadline_ms, char out_id[DOCKER_ID_BYTES],
                         struct error *err)
{
    char name[DOCKER_TASK_NAME_BYTES];
    cJSON *image = NULL;
    struct docker_agent agent;
    docker_task_name(launch->task->metadata->job, METADATA_HELPER, name);
    launch->helper.published = launch->job.published;
    launch->helper.published_everywhere = launch->job.published_everywhere;
    if (docker_image_inspect(launch->docker, launch->helper.image, &image, err) < 0) {
        return -1;
    }
    int result =
        docker_agent_load(launch->task->config, launch->helper.image, image, false, &agent, err);
    if (result == 0) {
        result = create_container(launch, &launch->helper, name, &agent, deadline_ms, out_id, err);
    }
    docker_agent_done(&agent);
    cJSON_Delete(image);
    return result;
}

static int begin_helper(struct launch *launch, struct starting *starting, int64_t deadline_ms,
                        struct error *err)
{
    char id[DOCKER_ID_BYTES];
    starting->docker = NULL;
    if (launch->helper.image == NULL) {
        return 0;
    }
    if (create_helper(launch, deadline_ms, id, err) < 0 ||
        docker_open_again(launch->docker, &starting->docker, err) < 0) {
        return -1;
    }
    if (docker_container_begin_start(starting->docker, id, deadline_ms, &starting->pending, err) <
        0) {
        docker_close(starting->docker);
        starting->docker = NULL;
        return -1;
    }
    return 0;
}

static int finish_helper(struct starting *starting, struct error *err)
{
    int result =
        starting->docker == NULL ? 0 : docker_finish(starting->docker, &starting->pending, err);
    docker_close(starting->docker);
    return result;
}

/* Both at the same time. An error of the helper goes before one of the job. */
static int start_both(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    struct starting helper;
    struct error own;
    if (begin_helper(launch, &helper, deadline_ms, err) < 0) {
        return error_wrap(err, "helper container");
    }
    int result = create_container(launch, &launch->job, launch->name, &launch->agent, deadline_ms,
                                  launch->id, err);
    struct backend_start *start = &launch->task->start;
    start->created_ms = clock_now_ms() - launch->begun_ms - start->services_ms;
    if (result == 0) {
        result = docker_container_start(launch->docker, launch->id, deadline_ms, err);
        if (result < 0) {
            (void)error_wrap(err, "cannot start a container of '%s'", launch->job.image);
        }
    }
    /* After a failure, too: the task is removed when the engine has no request in progress. */
    if (finish_helper(&helper, &own) < 0) {
        *err = own;
        return error_wrap(err, "helper container");
    }
    return result;
}

static int start_containers(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    char helper[DOCKER_TASK_NAME_BYTES];
    docker_task_name(launch->task->metadata->job, METADATA_HELPER, helper);
    if (start_both(launch, deadline_ms, err) < 0 ||
        (launch->helper.image != NULL &&
         find_agent(launch, METADATA_HELPER, helper, deadline_ms, err) < 0)) {
        return -1;
    }
    return find_agent(launch, METADATA_JOB, launch->id, deadline_ms, err);
}

static int run_launch(struct launch *launch, int64_t deadline_ms, struct error *err)
{
    struct backend_task *task = launch->task;
    if (read_request(launch, err) < 0 ||
        docker_open(task->config, task->signals, &launch->docker, err) < 0 ||
        look_around(launch, deadline_ms, err) < 0 || make_builds(launch, deadline_ms, err) < 0 ||
        start_services(launch, deadline_ms, err) < 0 ||
        start_containers(launch, deadline_ms, err) < 0) {
        return -1;
    }
    if (launch->services == NULL) {
        return 0;
    }
    if (launch->job.published) { /* this machine may not reach their addresses */
        return docker_set_state(task, DOCKER_STATE_AWAIT, "yes", err);
    }
    int64_t begun_ms = clock_now_ms();
    int result = docker_services_await(launch->docker, launch->services, task->metadata->job,
                                       launch->name, NULL, deadline_ms, err);
    task->start.services_ms += clock_now_ms() - begun_ms;
    return result;
}

int docker_settle(struct backend_task *task, const struct backend_helper *helper,
                  int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    struct job_keywords request = {NULL, NULL};
    char network[DOCKER_TASK_NAME_BYTES];
    if (json_text_at(task->metadata->state, DOCKER_STATE_AWAIT) == NULL) {
        return 0;
    }
    docker_task_name(task->metadata->job, METADATA_JOB, network);
    int64_t begun_ms = clock_now_ms();
    int result = docker_request_read(task->config, true, &request, err);
    if (result == 0) {
        result = docker_open(task->config, task->signals, &docker, err);
    }
    if (result == 0) {
        result = docker_services_await(docker, request.services, task->metadata->job, network,
                                       helper, deadline_ms, err);
    }
    task->start.services_ms += clock_now_ms() - begun_ms;
    docker_close(docker);
    job_keywords_done(&request);
    return result;
}

static void fill_parts(struct launch *launch)
{
    struct backend_task *task = launch->task;
    launch->job.task = launch->helper.task = task;
    launch->helper.is_helper = true;
    launch->helper.image = json_text_at(task->metadata->state, BACKEND_HELPER_IMAGE);
    docker_task_name(task->metadata->job, METADATA_JOB, launch->name);
}

int docker_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct launch *launch = calloc(1, sizeof(*launch));
    if (launch == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot launch a container");
    }
    launch->task = task;
    launch->begun_ms = clock_now_ms();
    fill_parts(launch);
    int result = run_launch(launch, deadline_ms, err);
    struct error ignored;
    /* The engine has answered; after a signal or deadline it might still be working. */
    if (result < 0 && err->kind == ERROR_USAGE &&
        docker_set_state(task, DOCKER_STATE_FAILED, "yes", &ignored) < 0) {
        log_debug("%s", ignored.message);
    }
    docker_close(launch->docker);
    docker_agent_done(&launch->agent);
    cJSON_Delete(launch->image);
    job_keywords_done(&launch->request);
    free(launch);
    return result;
}
