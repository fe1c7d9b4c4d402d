/* SPDX-License-Identifier: MIT */
/*
 * docker_task.h - the parts of the backend 'docker' that know a task, among themselves.
 *
 *   docker.c          the table of functions, plan, whether a task lives, stop
 *   docker_launch.c   images fetched, services and container started
 *   docker_address.c  where the container's agent is reached
 *
 * What survives between stages is in metadata->state: the container's name, decided before it is
 * made, and its id. Deadlines are absolute milliseconds (clock.h).
 * API: Docker Engine API v1.41, docs.docker.com/engine/api (ContainerInspect).
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_TASK_H
#define BERTH_DRIVER_BACKEND_DOCKER_TASK_H

#include "driver/backend.h"
#include "driver/backend/docker_api.h"

#define DOCKER_TASK_NAME_BYTES 96
#define DOCKER_STATE_NAME      "container"
#define DOCKER_STATE_ID        "id"
#define DOCKER_STATE_FAILED    "failed" /* in memory: nothing is under way in the engine */

/* docker.c */
void docker_task_name(const char *job, char out[DOCKER_TASK_NAME_BYTES]);
int docker_set_state(struct backend_task *task, const char *name, const char *value,
                     struct error *err) __attribute__((warn_unused_result));
/* An error that says what the end of a container looks like from outside, with the end of its log
 * in one line; 'container' is the engine's description. Returns -1. */
int docker_tell_end(struct docker *docker, const cJSON *container, const char *id,
                    struct error *err);

/* docker_launch.c: see struct backend. */
int docker_fetch(struct backend_task *task, struct error *err) __attribute__((warn_unused_result));
int docker_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* docker_address.c: writes host and port of the task's metadata. 'published': by a port of the
 * engine's machine, else by the container's own address. */
int docker_find_address(const struct docker *docker, const cJSON *container, bool published,
                        struct metadata *metadata, struct error *err)
    __attribute__((warn_unused_result));

#endif
