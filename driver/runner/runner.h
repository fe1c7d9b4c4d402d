/* SPDX-License-Identifier: MIT */
/*
 * runner.h - what GitLab Runner passes to a stage of the custom executor in the environment.
 *
 * runner_read() fills the caller's struct once, at startup; the strings point into the environment,
 * which is never changed. Job variables (CUSTOM_ENV_*) can be set by the author of a pipeline and
 * are never used in a file name: the job's key has only characters that we choose, and comes from
 * the JSON of JOB_RESPONSE_FILE when there is one.
 */
#ifndef BERTH_DRIVER_RUNNER_RUNNER_H
#define BERTH_DRIVER_RUNNER_RUNNER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* The runner's values, for a stage that is started manually. */
#define RUNNER_BUILD_FAILURE_DEFAULT  1
#define RUNNER_SYSTEM_FAILURE_DEFAULT 2

#define RUNNER_JOB_KEY_BYTES 64
#define RUNNER_RESPONSE_CEILING_BYTES                           \
    (16UL << 20) /* the job as GitLab sent it: scripts included \
                  */

struct runner {
    int build_failure_code;
    int system_failure_code;
    bool codes_missing;         /* at least one of the two was not set, and has its default */
    const char *exit_code_file; /* BUILD_EXIT_CODE_FILE, NULL: unset */
    const char *response_file;  /* JOB_RESPONSE_FILE, NULL: unset */
    char job_key[RUNNER_JOB_KEY_BYTES]; /* what runner_job_key() found; "": not asked yet */
};

/* Failure keeps the defaults, so that the caller can still exit with a code. */
int runner_read(struct runner *runner, struct error *err) __attribute__((warn_unused_result));

/* A job variable, NULL when unset or empty. 'name' without CUSTOM_ENV_. */
const char *runner_variable(const char *name);

/* Whether a job variable is true, as the runner reads its flags (strconv.ParseBool of Go). */
bool runner_flag(const char *name);

/* The job as GitLab sent it, from JOB_RESPONSE_FILE; NULL when that is not set. It holds tokens and
 * secrets: the caller frees it with json_delete_wiped(). */
int runner_read_response(const struct runner *runner, cJSON **out_response, struct error *err)
    __attribute__((warn_unused_result));

/* "job-ID-HASH": the same in every stage of one job, different for every other job. Reads the file
 * once in a process. */
int runner_job_key(struct runner *runner, char out_key[RUNNER_JOB_KEY_BYTES], struct error *err)
    __attribute__((warn_unused_result));

/* The job's 'image:' and 'services:' as text, from JOB_RESPONSE_FILE or else from its variables:
 * "'image: ruby:3.3'", "2 'services:'", both with " and " between, or "" for neither. */
void runner_job_keywords(const struct runner *runner, char *out, size_t room);

/* The job's timeout, from JOB_RESPONSE_FILE or else from its variables; 0: unknown. */
int64_t runner_job_timeout_s(const struct runner *runner);

#endif
