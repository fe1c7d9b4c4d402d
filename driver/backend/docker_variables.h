/* SPDX-License-Identifier: MIT */
/*
 * docker_variables.h - the job variables that its services may see.
 *
 * Those that GitLab marks as public and not masked in JOB_RESPONSE_FILE, less files; their values
 * come from CUSTOM_ENV_*, where the runner has expanded them. Without that file: none.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_VARIABLES_H
#define BERTH_DRIVER_BACKEND_DOCKER_VARIABLES_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Appends "NAME=VALUE" for each to the array 'list'. */
void docker_variables_public(cJSON *list, bool *ok);

#endif
