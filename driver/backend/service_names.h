/* SPDX-License-Identifier: MIT */
/*
 * service_names.h - what a service of a job is called: its host names for the job, and its name in
 * the job's log. Calls neither the engine nor AWS.
 */
#ifndef BERTH_DRIVER_BACKEND_SERVICE_NAMES_H
#define BERTH_DRIVER_BACKEND_SERVICE_NAMES_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define JOB_HOST_NAME          "build" /* of the job's container, for its services */
#define SERVICE_LOG_NAME_BYTES 80

/* Appends the host names of a service of job_keywords.h, its aliases and those derived from the
 * image's name, to the arrays 'out_names' and 'taken', except names already in 'taken', and
 * 'localhost' and JOB_HOST_NAME. */
void service_names_read(const cJSON *service, cJSON *taken, cJSON *out_names, bool *ok);

/* The name of a service in front of its lines: its host names, joined by "-". */
void service_names_join(const cJSON *names, char out[SERVICE_LOG_NAME_BYTES]);

#endif
