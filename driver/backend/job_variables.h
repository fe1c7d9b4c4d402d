/* SPDX-License-Identifier: MIT */
/*
 * job_variables.h - job variables in the names of images and for services.
 *
 * Values come from CUSTOM_ENV_*, where the runner has expanded them; JOB_RESPONSE_FILE says which
 * are public, masked or files. Texts are expanded as GitLab Runner does (common/spec/variables.go,
 * which uses os.Expand() of Go): "$NAME" and "${NAME}", an unknown name is empty, "$$" is "$", a
 * file's value is its path.
 */
#ifndef BERTH_DRIVER_BACKEND_JOB_VARIABLES_H
#define BERTH_DRIVER_BACKEND_JOB_VARIABLES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define JOB_EXPANDED_CEILING_BYTES (256UL << 10)

/* Where names are looked up; either may be NULL. */
struct job_variables {
    const cJSON *own;      /* a service's: [{"key", "value"}]; over the job's, not expanded */
    const cJSON *response; /* JOB_RESPONSE_FILE */
};

/* In memory for free(); NULL after filling 'err'. */
char *job_variables_expand(const struct job_variables *variables, const char *text,
                           struct error *err) __attribute__((warn_unused_result));

/* The name, in 'response', of a masked variable whose value is in 'text' more often than in 'raw',
 * from which it was expanded; NULL: none. Values of fewer than JOB_MASKED_LEAST characters would be
 * in any text and are not looked for; GitLab masks from 8. */
#define JOB_MASKED_LEAST 4
const char *job_variables_masked(const cJSON *response, const char *raw, const char *text);

/* Appends "NAME=VALUE" to the array 'list' for each variable that is public, not masked and not a
 * file. */
void job_variables_public(const cJSON *response, cJSON *list, bool *ok);

/* Appends "NAME=VALUE" or replaces the entry of that name. */
void job_variables_set(cJSON *list, const char *name, const char *value, bool *ok);

/* The port that HEALTHCHECK_TCP_PORT names in the array 'list' of "NAME=VALUE"; 0: none. As in the
 * runner the first of that name is used, in any case. A value that is not a port is a warning that
 * names the service. */
uint16_t job_variables_health_port(const cJSON *list, const char *service);

#endif
