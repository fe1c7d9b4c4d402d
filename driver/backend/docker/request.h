/* SPDX-License-Identifier: MIT */
/*
 * request.h - the keywords of a job (job_keywords.h) by the rules of [Docker].
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_REQUEST_H
#define BERTH_DRIVER_BACKEND_DOCKER_REQUEST_H

#include <stdbool.h>

#include "driver/backend/job_keywords.h"

/* 'of_job': false for 'exec', which has no job and takes the configured image. The caller frees
 * with job_keywords_done(), also after a failure. */
int docker_request_read(const struct config *config, bool of_job, struct job_keywords *keywords,
                        struct error *err) __attribute__((warn_unused_result));

#endif
