/* SPDX-License-Identifier: MIT */
/*
 * docker_services.h - the 'services:' of a job: containers beside it, under names that it can
 * reach.
 *
 * They come as JSON in CUSTOM_ENV_CI_JOB_SERVICES. Each gets the job's public variables, as with
 * GitLab's own executors, and its aliases on the job's network. A service that does not get ready
 * is a warning with its log, as there: the job says better what it misses. They are containers
 * with the job's label, so docker_remove_job() ends them.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_SERVICES_H
#define BERTH_DRIVER_BACKEND_DOCKER_SERVICES_H

#include "driver/backend/docker_api.h"

#define DOCKER_SERVICE_NAME_BYTES 96

/* The container of the job's service number 'index'. */
void docker_service_container(const char *job, int index, char out[DOCKER_SERVICE_NAME_BYTES]);

/* Parsed and checked against the allow list; NULL and 0 when the job has none. The caller deletes
 * the array. */
int docker_services_parse(const struct config *config, const char *text, cJSON **out_services,
                          struct error *err) __attribute__((warn_unused_result));

int docker_services_ensure_images(struct docker *docker, const cJSON *services, struct error *err)
    __attribute__((warn_unused_result));

/* Creates and starts all of them on 'network'. */
int docker_services_start(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* Waits until each is healthy, or where its image has no health check, until one of its ports
 * accepts a connection; 'reachable' says whether this machine can reach them. */
int docker_services_await(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, bool reachable, int64_t deadline_ms,
                          struct error *err) __attribute__((warn_unused_result));

/* The host names of a service: its own aliases, else those made of the image's name. Appended to
 * the array 'out_names'. */
void docker_service_aliases(const cJSON *service, cJSON *out_names, bool *ok);

#endif
