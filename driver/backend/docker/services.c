/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/services.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend/docker/container.h"
#include "driver/backend/docker/image.h"
#include "driver/backend/docker/job.h"
#include "driver/backend/docker/service_logs.h"
#include "driver/backend/docker/volumes.h"
#include "driver/backend/job_keywords.h"
#include "driver/backend/job_variables.h"
#include "driver/backend/log_lines.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"
#include "driver/registry/platform.h"

#define ROUND_MS          150
#define CONNECT_MS        300
#define COMMAND_MS        10000 /* of a check inside the task */
#define PORT_CEILING      32
#define ADDRESS_BYTES     64 /* with a port */
#define LOG_MS            5000
#define LOG_CEILING_BYTES (16UL << 10)

int docker_services_ensure_images(struct docker *docker, const cJSON *services, struct error *err)
{
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
    {
        const struct docker_wanted wanted = {.name = json_text_or_empty(service, "name"),
                                             .platform = json_text_at(service, "platform"),
                                             .policies = json_at(service, "pull_policy")};
        if (docker_image_ensure(docker, &wanted, err) < 0) {
            return error_wrap(err, "service");
        }
    }
    return 0;
}

/* 'entrypoint' and 'command' replace the image's when the job names them. */
static void copy_words(cJSON *body, const char *to, const cJSON *service, const char *from,
                       bool *ok)
{
    const cJSON *words = json_at(service, from);
    const cJSON *word = NULL;
    if (!cJSON_IsArray(words) || cJSON_GetArraySize(words) == 0) {
        return;
    }
    cJSON *list = json_array(body, to, ok);
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word)) {
            json_append(list, word->valuestring, ok);
        }
    }
}

/* Where the job finds its files, too. */
static int add_builds(cJSON *host, const struct config *config,
                      const struct docker_service_place *place, bool *ok, struct error *err)
{
    if (!config->services.builds) {
        return 0;
    }
    cJSON *mounts = json_array(host, "Mounts", ok);
    if (place->builds != NULL) {
        docker_mount_add_builds(mounts, place->builds, ok);
    }
    return docker_volumes_add(config, DOCKER_VOLUMES_BUILDS, mounts, ok, err);
}

static cJSON *service_body(const struct config *config, const cJSON *service, cJSON *taken,
                           const struct docker_service_place *place, struct error *err)
{
    const char *network = place->network;
    bool ok = true;
    cJSON *body = cJSON_CreateObject();
    json_text(body, "Image", json_text_or_empty(service, "name"), &ok);
    copy_words(body, "Entrypoint", service, "entrypoint", &ok);
    copy_words(body, "Cmd", service, "command", &ok);
    copy_words(body, "Env", service, "env", &ok);
    if (json_text_at(service, "user") != NULL) {
        json_text(body, "User", json_text_at(service, "user"), &ok);
    }
    cJSON *labels = docker_job_labels(config, place->job, "service", &ok);
    ok = cJSON_AddItemToObject(body, "Labels", labels) && ok;
    cJSON *host = json_object(body, "HostConfig", &ok);
    json_text(host, "NetworkMode", network, &ok);
    docker_job_limits(&config->docker, host, &ok); /* the job chooses what runs in it, too */
    int result = add_builds(host, config, place, &ok, err);
    cJSON *endpoints =
        json_object(json_object(body, "NetworkingConfig", &ok), "EndpointsConfig", &ok);
    cJSON *endpoint = json_object(endpoints, network, &ok);
    cJSON *aliases = json_array(endpoint, "Aliases", &ok);
    service_names_read(service, taken, aliases, &ok);
    docker_service_logs_add(place->state, aliases, &ok);
    if (result == 0 && ok) {
        return body;
    }
    json_delete_wiped(body);
    if (result == 0) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the request for the service");
    }
    return NULL;
}

static int start_one(struct docker *docker, const cJSON *service, cJSON *taken, const char *name,
                     const struct docker_service_place *place, int64_t deadline_ms,
                     struct error *err)
{
    char id[DOCKER_ID_BYTES];
    char platform[IMAGE_PLATFORM_BYTES] = "";
    if (json_text_at(service, "platform") != NULL &&
        docker_image_platform(docker, json_text_or_empty(service, "name"), platform, err) < 0) {
        return -1;
    }
    cJSON *body = service_body(docker->config, service, taken, place, err);
    if (body == NULL) {
        return -1;
    }
    int result =
        docker_container_create(docker, name, place->job, platform, body, deadline_ms, id, err);
    json_delete_wiped(body);
    return result < 0 ? -1 : docker_container_start(docker, id, deadline_ms, err);
}

int docker_services_start(struct docker *docker, const cJSON *services,
                          const struct docker_service_place *place, int64_t deadline_ms,
                          struct error *err)
{
    int index = 0;
    int result = 0;
    const cJSON *service = NULL;
    cJSON *taken = cJSON_CreateArray();
    cJSON_ArrayForEach(service, services)
    {
        char name[DOCKER_SERVICE_NAME_BYTES];
        docker_service_container(place->job, index++, name);
        if (result == 0 && start_one(docker, service, taken, name, place, deadline_ms, err) < 0) {
            result =
                error_wrap(err, "cannot start service '%s'", json_text_or_empty(service, "name"));
        }
    }
    cJSON_Delete(taken);
    return result;
}

enum readiness { SERVICE_WAITING, SERVICE_READY, SERVICE_FAILED };

/* The services of one job while the driver waits for them. */
struct wait {
    struct docker *docker;
    const cJSON *services;
    const char *job, *network;
    const struct backend_helper *inside;
    int64_t deadline_ms;
    enum readiness states[JOB_SERVICE_CEILING];
    char whys[JOB_SERVICE_CEILING][128];
    int ports[JOB_SERVICE_CEILING]; /* of HEALTHCHECK_TCP_PORT; 0: none, -1: not looked at */
};

/* Whether something accepts a connection there. */
static bool accepts(const char *address, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int reason = 0;
    socklen_t length = sizeof(reason);
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1) {
        return false;
    }
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
        return true;
    }
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    return errno == EINPROGRESS && poll(&entry, 1, CONNECT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length) == 0 && reason == 0;
}

/* The TCP ports of {"5432/tcp": {}}; returns how many. */
static size_t read_ports(const cJSON *exposed, int out_ports[PORT_CEILING])
{
    const cJSON *port = NULL;
    size_t count = 0;
    exposed = cJSON_IsObject(exposed) ? exposed : NULL;
    cJSON_ArrayForEach(port, exposed)
    {
        char text[8];
        int64_t number = 0;
        size_t length = strcspn(port->string, "/");
        (void)snprintf(text, sizeof(text), "%.*s", (int)(length < 7 ? length : 7), port->string);
        if (count < PORT_CEILING && strcmp(port->string + length, "/tcp") == 0 &&
            parse_integer(text, 1, 65535, &number) == 0) {
            out_ports[count++] = (int)number;
        }
    }
    return count;
}

/* The same as accepts() for one of the ports, from a container of the task. */
static bool accepts_inside(const struct wait *wait, const char *address, const int *ports,
                           size_t count)
{
    static const char timeout[] = "300ms"; /* as CONNECT_MS */
    char targets[PORT_CEILING][ADDRESS_BYTES];
    const char *words[PORT_CEILING + 5] = {BACKEND_AGENT_PATH, "await", "--timeout", timeout};
    char text[256];
    struct error err = {0};
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(targets[i], ADDRESS_BYTES, "%s:%d", address, ports[i]);
        words[4 + i] = targets[i];
    }
    int64_t deadline_ms = clock_earlier_ms(wait->deadline_ms, clock_deadline_ms(COMMAND_MS));
    if (wait->inside->run(wait->inside->context, &command, deadline_ms, &err) < 0) {
        log_debug("cannot check a service: %s", err.message);
        return false;
    }
    return command.status == 0;
}

/* 'port': of HEALTHCHECK_TCP_PORT; 0: none, then those that the image exposes. */
static enum readiness by_ports(const struct wait *wait, const cJSON *container, int port)
{
    int ports[PORT_CEILING] = {port};
    size_t count = ports[0] != 0 ? 1 : read_ports(json_at(container, "Config.ExposedPorts"), ports);
    const cJSON *network = cJSON_GetObjectItemCaseSensitive(
        json_at(container, "NetworkSettings.Networks"), wait->network);
    const char *address = json_text_at(network, "IPAddress");
    bool accepted = false;
    if (address == NULL || count == 0) {
        return SERVICE_READY; /* running is all that can be checked */
    }
    if (wait->inside != NULL) {
        accepted = accepts_inside(wait, address, ports, count);
    }
    for (size_t i = 0; i < count && wait->inside == NULL && !accepted; i++) {
        accepted = accepts(address, ports[i]);
    }
    return accepted ? SERVICE_READY : SERVICE_WAITING;
}

static enum readiness look_at(struct wait *wait, const cJSON *container, int i)
{
    char *why = wait->whys[i];
    size_t room = sizeof(wait->whys[i]);
    const char *health = json_text_at(container, "State.Health.Status");
    if (!json_true_at(container, "State.Running")) {
        (void)snprintf(why, room, "exited with code %lld",
                       (long long)json_number_at(container, "State.ExitCode"));
        return SERVICE_FAILED;
    }
    if (wait->ports[i] < 0) { /* once, as it may warn */
        const cJSON *service = cJSON_GetArrayItem(wait->services, i);
        wait->ports[i] = job_variables_health_port(json_at(container, "Config.Env"),
                                                   json_text_or_empty(service, "name"));
    }
    if (wait->ports[i] > 0) {
        (void)snprintf(why, room, "does not accept connections on port %d", wait->ports[i]);
        return by_ports(wait, container, wait->ports[i]);
    }
    /* Docker leaves "Health" out or says "none"; podman says "". */
    if (health == NULL || health[0] == '\0' || strcmp(health, "none") == 0) {
        (void)snprintf(why, room, "does not accept connections on its ports");
        return by_ports(wait, container, 0);
    }
    (void)snprintf(why, room, "is '%s' by its image's health check", health);
    /* A service that is unhealthy during startup may become healthy before the deadline. */
    return strcmp(health, "healthy") == 0 ? SERVICE_READY : SERVICE_WAITING;
}

/* Checks each service that is not ready. Returns how many are still not, or -1. */
static int look_at_all(struct wait *wait, int count, int64_t deadline_ms, struct error *err)
{
    int waiting = 0;
    for (int i = 0; i < count; i++) {
        char name[DOCKER_SERVICE_NAME_BYTES];
        cJSON *container = NULL;
        if (wait->states[i] != SERVICE_WAITING) {
            continue;
        }
        docker_service_container(wait->job, i, name);
        int found = docker_container_inspect(wait->docker, name, deadline_ms, &container, err);
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            (void)snprintf(wait->whys[i], sizeof(wait->whys[i]), "was removed");
            wait->states[i] = SERVICE_FAILED;
        } else {
            wait->states[i] = look_at(wait, container, i);
        }
        cJSON_Delete(container);
        waiting += wait->states[i] == SERVICE_WAITING ? 1 : 0;
    }
    return waiting;
}

static void log_failures(const struct wait *wait)
{
    int index = 0;
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, wait->services)
    {
        int i = index++;
        if (wait->states[i] == SERVICE_READY) {
            continue;
        }
        char name[DOCKER_SERVICE_NAME_BYTES];
        struct buffer text;
        const char *image = json_text_at(service, "name");
        docker_service_container(wait->job, i, name);
        buffer_init(&text, LOG_CEILING_BYTES);
        docker_container_logs(wait->docker, name, clock_deadline_ms(LOG_MS), &text);
        log_warn("service '%s' %s, continuing without it; %s", image == NULL ? "" : image,
                 wait->whys[i], text.length > 0 ? "end of its log:" : "its log is empty");
        log_lines_warn(text.bytes);
        buffer_done(&text);
    }
}

int docker_services_await(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, const struct backend_helper *inside,
                          int64_t deadline_ms, struct error *err)
{
    struct wait wait = {.docker = docker,
                        .services = services,
                        .job = job,
                        .network = network,
                        .inside = inside,
                        .deadline_ms = deadline_ms};
    int count = cJSON_GetArraySize(services);
    memset(wait.ports, -1, sizeof(wait.ports));
    int64_t until_ms = clock_deadline_ms(docker->config->docker.service_timeout_ms);
    until_ms = clock_earlier_ms(until_ms, deadline_ms);
    for (;;) {
        int waiting = look_at_all(&wait, count, deadline_ms, err);
        if (waiting < 0) {
            return error_wrap(err, "cannot wait for the services");
        }
        if (waiting == 0 || clock_now_ms() >= until_ms) {
            break;
        }
        if (signals_requested(docker->signals) ||
            signals_wait(docker->signals, -1, clock_deadline_ms(ROUND_MS)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
    }
    log_failures(&wait);
    return 0;
}
