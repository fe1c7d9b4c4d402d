/* SPDX-License-Identifier: MIT */
/*
 * docker_container.h - one container's or network's steps: made, started, looked at, removed.
 *
 * Names are derived from the job, so making something twice finds what a dead process made: it
 * is removed and made anew when its labels say that it is this job's, since its keys are others.
 * Removing what is not there is success.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_CONTAINER_H
#define BERTH_DRIVER_BACKEND_DOCKER_CONTAINER_H

#include "driver/backend/docker_api.h"

#define DOCKER_ID_BYTES    72 /* 64 hexadecimal digits */
#define DOCKER_JOB_LABEL   "berth.job"
#define DOCKER_OWNER_LABEL "berth.owner" /* owner.h */
#define DOCKER_ROLE_LABEL  "berth.role"  /* "job" or "service" */

int docker_container_create(struct docker *docker, const char *name, const char *job,
                            const cJSON *body, int64_t deadline_ms, char out_id[DOCKER_ID_BYTES],
                            struct error *err) __attribute__((warn_unused_result));
int docker_container_start(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct error *err) __attribute__((warn_unused_result));
/* Returns 1 and the answer, which the caller deletes; 0 when there is no such container. */
int docker_container_inspect(struct docker *docker, const char *id, int64_t deadline_ms,
                             cJSON **out_container, struct error *err)
    __attribute__((warn_unused_result));
/* The end of what it wrote, in lines; empty when that cannot be had. */
void docker_container_logs(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct buffer *out);
/* SIGTERM, SIGKILL after the grace period, then everything of it goes, anonymous volumes too. */
int docker_container_remove(struct docker *docker, const char *id, int64_t grace_ms,
                            int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

int docker_network_create(struct docker *docker, const char *name, const char *job,
                          const cJSON *labels, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
int docker_network_remove(struct docker *docker, const char *name, int64_t deadline_ms,
                          struct error *err) __attribute__((warn_unused_result));

/* Everything with the job's label: containers first, then networks. */
int docker_remove_job(struct docker *docker, const char *job, int64_t grace_ms, int64_t deadline_ms,
                      struct error *err) __attribute__((warn_unused_result));

#endif
