/* SPDX-License-Identifier: MIT */
/*
 * task.h - what the files of the backend 'docker' share about a task.
 *
 *   docker.c  the table of functions, plan, state of a container, stop, 'ps' and 'gc'
 *   task.c    names, what is kept in metadata->state, how a container ended
 *   launch.c  fetches images, starts services and container, finds the address of the agent
 *
 * What survives between stages is in metadata->state: the container's name, decided before it is
 * created, and its id. Deadlines are absolute milliseconds (clock.h).
 * API: Docker Engine API v1.41, docs.docker.com/engine/api (ContainerInspect).
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_TASK_H
#define BERTH_DRIVER_BACKEND_DOCKER_TASK_H

#include "driver/backend/backend.h"
#include "driver/backend/docker/api.h"

#define DOCKER_TASK_NAME_BYTES 96
#define DOCKER_STATE_NAME      "container"
#define DOCKER_STATE_ID        "id"
#define DOCKER_STATE_FAILED    "failed" /* in memory alone: the engine has no request in progress */
/* Services are still to be waited for, from inside the task. */
#define DOCKER_STATE_AWAIT "await"

/* task.c */
void docker_task_name(const char *job, enum metadata_container container,
                      char out[DOCKER_TASK_NAME_BYTES]);
int docker_set_state(struct backend_task *task, const char *name, const char *value,
                     struct error *err) __attribute__((warn_unused_result));
/* Fills 'err' with how a container ended and with the end of its log in one line; 'container' is
 * the engine's description of 'which'. Returns -1. */
int docker_end_error(struct docker *docker, const cJSON *container, enum metadata_container which,
                     const char *id, struct error *err);
/* "job" or "helper" */
const char *docker_container_word(enum metadata_container container);

/* launch.c: see struct backend. */
int docker_fetch(struct backend_task *task, struct error *err) __attribute__((warn_unused_result));
int docker_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
int docker_settle(struct backend_task *task, const struct backend_helper *helper,
                  int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));

/* requirements.c: see struct backend. */
int docker_requirements(const struct config *config, struct buffer *out_text, struct error *err)
    __attribute__((warn_unused_result));

#endif
