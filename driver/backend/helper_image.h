/* SPDX-License-Identifier: MIT */
/*
 * helper_image.h - which image the helper of a job has.
 *
 * [Helper] Image, in which "$CI_RUNNER_VERSION" is replaced, else the gitlab-runner-helper that
 * GitLab publishes for the runner's version. A job can set CI_RUNNER_VERSION to any text, so only
 * N.N.N is accepted.
 */
#ifndef BERTH_DRIVER_BACKEND_HELPER_IMAGE_H
#define BERTH_DRIVER_BACKEND_HELPER_IMAGE_H

#include "common/error.h"
#include "driver/config/config.h"

#define HELPER_IMAGE_BYTES 512

/* Whether it is of the form N.N.N, with at most five digits in each part. */
bool helper_image_is_version(const char *text);

/* GitLab's image for a version of the runner. 'processor' has Docker's name: "amd64" or "arm64",
 * else ERROR_USAGE. */
int helper_image_published(const char *version, const char *processor,
                           char out_name[HELPER_IMAGE_BYTES], struct error *err)
    __attribute__((warn_unused_result));

/* The same for this job. ERROR_USAGE if the name cannot be found. */
int helper_image_name(const struct config *config, const char *processor,
                      char out_name[HELPER_IMAGE_BYTES], struct error *err)
    __attribute__((warn_unused_result));

#endif
