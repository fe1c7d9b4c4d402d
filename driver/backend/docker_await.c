/* SPDX-License-Identifier: MIT */
/* The readiness of services: part of docker_services.h, apart because it waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_services.h"
#include "driver/json.h"

#define ROUND_MS          150
#define CONNECT_MS        300
#define LOG_MS            5000
#define LOG_CEILING_BYTES (16UL << 10)

enum readiness { SERVICE_WAITING, SERVICE_READY, SERVICE_FAILED };

/* All services of one job while they are awaited. */
struct wait {
    struct docker *docker;
    const char *job, *network;
    bool reachable;
    enum readiness states[DOCKER_SERVICE_CEILING];
    char whys[DOCKER_SERVICE_CEILING][128];
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

static bool any_port_accepts(const cJSON *ports, const char *address)
{
    const cJSON *port = NULL;
    if (!cJSON_IsObject(ports)) {
        return false;
    }
    cJSON_ArrayForEach(port, ports) /* {"5432/tcp": {}} */
    {
        char text[8];
        int64_t number = 0;
        size_t length = strcspn(port->string, "/");
        (void)snprintf(text, sizeof(text), "%.*s", (int)(length < 7 ? length : 7), port->string);
        if (strcmp(port->string + length, "/tcp") == 0 &&
            parse_integer(text, 1, 65535, &number) == 0 && accepts(address, (int)number)) {
            return true;
        }
    }
    return false;
}

static enum readiness by_ports(const struct wait *wait, const cJSON *container)
{
    const cJSON *ports = json_at(container, "Config.ExposedPorts");
    const cJSON *network = cJSON_GetObjectItemCaseSensitive(
        json_at(container, "NetworkSettings.Networks"), wait->network);
    const char *address = json_text_at(network, "IPAddress");
    if (!wait->reachable || cJSON_GetArraySize(ports) == 0 || address == NULL) {
        return SERVICE_READY; /* it runs, and that is all that can be seen */
    }
    return any_port_accepts(ports, address) ? SERVICE_READY : SERVICE_WAITING;
}

static enum readiness look_at(const struct wait *wait, const cJSON *container, char *why,
                              size_t room)
{
    const char *health = json_text_at(container, "State.Health.Status");
    if (!json_true_at(container, "State.Running")) {
        (void)snprintf(why, room, "ended with exit code %lld",
                       (long long)json_number_at(container, "State.ExitCode"));
        return SERVICE_FAILED;
    }
    if (health == NULL || strcmp(health, "none") == 0) {
        (void)snprintf(why, room, "accepts no connection on its ports");
        return by_ports(wait, container);
    }
    (void)snprintf(why, room, "is '%s' by its image's health check", health);
    /* What is unhealthy while it starts can still get well before the deadline. */
    return strcmp(health, "healthy") == 0 ? SERVICE_READY : SERVICE_WAITING;
}

/* Looks at each that is waited for. Returns how many still are, or -1. */
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
            (void)snprintf(wait->whys[i], sizeof(wait->whys[i]), "is gone");
            wait->states[i] = SERVICE_FAILED;
        } else {
            wait->states[i] = look_at(wait, container, wait->whys[i], sizeof(wait->whys[i]));
        }
        cJSON_Delete(container);
        waiting += wait->states[i] == SERVICE_WAITING ? 1 : 0;
    }
    return waiting;
}

static void log_lines(char *text)
{
    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        log_warn("  %s", line);
        line = end == NULL ? NULL : end + 1;
    }
}

static void tell_failures(const struct wait *wait, const cJSON *services)
{
    int index = 0;
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
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
        log_warn("the service '%s' %s, going on without; %s", image == NULL ? "" : image,
                 wait->whys[i], text.length > 0 ? "the end of its log:" : "its log is empty");
        log_lines(text.bytes);
        buffer_done(&text);
    }
}

int docker_services_await(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, bool reachable, int64_t deadline_ms,
                          struct error *err)
{
    struct wait wait = {.docker = docker, .job = job, .network = network, .reachable = reachable};
    int count = cJSON_GetArraySize(services);
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
        if (signals_wait(docker->signals, -1, clock_deadline_ms(ROUND_MS)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
    }
    tell_failures(&wait, services);
    return 0;
}
