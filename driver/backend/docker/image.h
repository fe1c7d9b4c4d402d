/* SPDX-License-Identifier: MIT */
/*
 * image.h - pulls images: policy, progress, errors.
 *
 * Policies are GitLab's: "always", "if-not-present" (the default), "never"; with several, the next
 * is tried when one fails. Progress is shown on stderr (progress.h). A name that
 * does not exist is ERROR_USAGE, since a retry cannot fix it; a registry that cannot be reached is
 * ERROR_SYSTEM, and so is a refusal after a credential helper failed.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_IMAGE_H
#define BERTH_DRIVER_BACKEND_DOCKER_IMAGE_H

#include "driver/backend/docker/api.h"
#include "driver/registry/platform.h"

/* Which image; texts belong to the caller. */
struct docker_wanted {
    const char *name;
    const char *platform;     /* "linux/arm64"; NULL: the engine's own */
    const char *architecture; /* must match an image on the engine; NULL: any */
    const cJSON *policies;    /* the job's, within [Docker] PullPolicy; NULL: those */
};

/* Checks the values of [Docker] PullPolicy, and that one of 'policies', which may be NULL, is among
 * them. */
int docker_image_check_policy(const struct config *config, const cJSON *policies, struct error *err)
    __attribute__((warn_unused_result));

/* Pulls the image if the policy says so. The deadline of each pull is [Docker] PullTimeout from its
 * start.
 */
int docker_image_ensure(struct docker *docker, const struct docker_wanted *wanted,
                        struct error *err) __attribute__((warn_unused_result));

/* The engine's description of an image that was ensured; the caller deletes it. ERROR_SYSTEM if the
 * image was removed meanwhile. */
int docker_image_inspect(struct docker *docker, const char *text, cJSON **out_image,
                         struct error *err) __attribute__((warn_unused_result));

/* The platform of a pulled image, e.g. "linux/arm64". */
int docker_image_platform(struct docker *docker, const char *text, char out[IMAGE_PLATFORM_BYTES],
                          struct error *err) __attribute__((warn_unused_result));

#endif
