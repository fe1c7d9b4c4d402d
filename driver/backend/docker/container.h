/* SPDX-License-Identifier: MIT */
/*
 * container.h - creates, starts, inspects and removes containers, networks and volumes.
 *
 * Names are derived from the job. If a name is in use by a leftover of the same job, the leftover
 * is removed first: its keys are not this process's. Removing what does not exist is success.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_CONTAINER_H
#define BERTH_DRIVER_BACKEND_DOCKER_CONTAINER_H

#include "driver/backend/docker/api.h"

#define DOCKER_ID_BYTES    72 /* 64 hexadecimal digits */
#define DOCKER_JOB_LABEL   "berth.job"
#define DOCKER_OWNER_LABEL "berth.owner" /* runner_id.h */
#define DOCKER_ROLE_LABEL  "berth.role"  /* "job", "helper", "service", "network" or "builds" */

#define DOCKER_SERVICE_NAME_BYTES 96

/* The name of the container of service number 'index'. */
void docker_service_container(const char *job, int index, char out[DOCKER_SERVICE_NAME_BYTES]);

/* 'platform': of the image, must match; NULL or empty: any. */
int docker_container_create(struct docker *docker, const char *name, const char *job,
                            const char *platform, const cJSON *body, int64_t deadline_ms,
                            char out_id[DOCKER_ID_BYTES], struct error *err)
    __attribute__((warn_unused_result));
int docker_container_start(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct error *err) __attribute__((warn_unused_result));
/* The same as docker_begin(): docker_finish() waits until it has started. */
int docker_container_begin_start(struct docker *docker, const char *id, int64_t deadline_ms,
                                 struct docker_pending *pending, struct error *err)
    __attribute__((warn_unused_result));
/* Returns 1 and the answer, which the caller deletes; 0 when there is no such container. */
int docker_container_inspect(struct docker *docker, const char *id, int64_t deadline_ms,
                             cJSON **out_container, struct error *err)
    __attribute__((warn_unused_result));
/* The last lines of the container's log; empty if it cannot be read. */
void docker_container_logs(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct buffer *out);

/* With the MTU of the engine's default bridge, and with IPv6 if the bridge has it and an address
 * pool is left. A refusal is ERROR_SYSTEM: nothing in the request comes from the job. */
int docker_network_create(struct docker *docker, const char *name, const char *job,
                          const cJSON *labels, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* Whether the engine has [Docker] Network. ERROR_USAGE: it does not. */
int docker_network_check(struct docker *docker, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* Removes everything with the job's label: containers first, then networks and volumes. */
int docker_remove_job(struct docker *docker, const char *job, int64_t grace_ms, int64_t deadline_ms,
                      struct error *err) __attribute__((warn_unused_result));

#endif
