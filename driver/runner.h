/* SPDX-License-Identifier: MIT */
/*
 * runner.h - what GitLab Runner tells a stage of the custom executor through the environment.
 *
 * runner_read() fills the caller's struct once, at start; the strings point into the environment,
 * which nothing of ours changes. Job variables (CUSTOM_ENV_*) can be set by whoever writes a
 * pipeline and are never trusted for a file name: the job's key is made of characters we choose,
 * and comes from the JSON of JOB_RESPONSE_FILE where there is one.
 */
#ifndef BERTH_DRIVER_RUNNER_H
#define BERTH_DRIVER_RUNNER_H

#include <stdbool.h>

#include "common/error.h"

/* What the runner uses today, for a stage started by hand. */
#define RUNNER_BUILD_FAILURE_DEFAULT  1
#define RUNNER_SYSTEM_FAILURE_DEFAULT 2

#define RUNNER_JOB_KEY_BYTES 64
#define RUNNER_RESPONSE_CEILING_BYTES                           \
    (16UL << 20) /* the job as GitLab sent it: scripts included \
                  */

struct runner {
    int build_failure_code;
    int system_failure_code;
    bool codes_missing;         /* one of the two was not set: the default is in place */
    const char *exit_code_file; /* BUILD_EXIT_CODE_FILE, NULL: unset */
    const char *response_file;  /* JOB_RESPONSE_FILE, NULL: unset */
};

/* Failure leaves the defaults in place, so that the caller can still exit with a code. */
int runner_read(struct runner *runner, struct error *err) __attribute__((warn_unused_result));

/* A job variable, NULL when unset or empty. 'name' without CUSTOM_ENV_. */
const char *runner_variable(const char *name);

/* "job-ID-HASH": the same in every stage of one job and different for every other. */
int runner_job_key(const struct runner *runner, char out_key[RUNNER_JOB_KEY_BYTES],
                   struct error *err) __attribute__((warn_unused_result));

#endif
