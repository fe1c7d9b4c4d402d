/* SPDX-License-Identifier: MIT */
/*
 * helper.h - whether a job gets a helper container, and its image.
 *
 * [Helper] Use decides. With "auto", a helper image that cannot be had is one warning: all stages
 * run in the job's container then, which must bring git and gitlab-runner.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_HELPER_H
#define BERTH_DRIVER_BACKEND_DOCKER_HELPER_H

#include "driver/backend/backend.h"
#include "driver/backend/docker/api.h"

/* Pulls the image and notes it as BACKEND_HELPER_IMAGE in the task's state; nothing there: the job
 * has no helper. A request to stop, and any failure with Use = "always", is an error. */
int docker_helper_fetch(struct backend_task *task, struct docker *docker, struct error *err)
    __attribute__((warn_unused_result));

#endif
