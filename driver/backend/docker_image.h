/* SPDX-License-Identifier: MIT */
/*
 * docker_image.h - getting an image onto the engine: pull policy, progress, what can go wrong.
 *
 * Policies are GitLab's: "always", "if-not-present" (the default), "never". Progress is logged a
 * few times a minute, never on stdout. A name that does not exist is ERROR_USAGE, since no retry
 * heals it; a registry that cannot be reached is ERROR_SYSTEM.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_IMAGE_H
#define BERTH_DRIVER_BACKEND_DOCKER_IMAGE_H

#include "driver/backend/docker_api.h"

/* Whether the policy's word is known. */
int docker_image_check_policy(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

/* Afterwards the image 'text' is there. The deadline is [Docker] PullTimeout from now. */
int docker_image_ensure(struct docker *docker, const char *text, struct error *err)
    __attribute__((warn_unused_result));

/* What the engine knows about an image that is there; the caller deletes it. */
int docker_image_inspect(struct docker *docker, const char *text, cJSON **out_image,
                         struct error *err) __attribute__((warn_unused_result));

#endif
