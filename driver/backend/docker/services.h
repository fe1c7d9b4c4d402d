/* SPDX-License-Identifier: MIT */
/*
 * services.h - the 'services:' of a job: containers on the job's network, with aliases.
 *
 * An array as request.h makes it. Each service gets the job's public variables, as with GitLab's
 * own executors. If a service is not ready in time, Berth logs a warning with its log and
 * continues, as GitLab Runner does. Services have the job's label, so docker_remove_job() removes
 * them.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_SERVICES_H
#define BERTH_DRIVER_BACKEND_DOCKER_SERVICES_H

#include "driver/backend/backend.h"
#include "driver/backend/docker/api.h"

int docker_services_ensure_images(struct docker *docker, const cJSON *services, struct error *err)
    __attribute__((warn_unused_result));

struct docker_service_place {
    const char *job, *network;
    const char *builds; /* the job's volume at the builds directory; NULL: it has none */
    cJSON *state;       /* of the task, for service_logs.h */
};

/* Creates and starts all of them. */
int docker_services_start(struct docker *docker, const cJSON *services,
                          const struct docker_service_place *place, int64_t deadline_ms,
                          struct error *err) __attribute__((warn_unused_result));

/* Waits until each is ready: it accepts a connection on the port of its variable
 * HEALTHCHECK_TCP_PORT, else its image's health check passes, else it accepts one on an exposed
 * port. 'inside': the container that tries to connect, if this machine cannot; NULL: it can. */
int docker_services_await(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, const struct backend_helper *inside,
                          int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
