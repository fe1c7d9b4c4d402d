/* SPDX-License-Identifier: MIT */
/*
 * logs.h - the agent's log of a job's container: its standard output and error.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_LOGS_H
#define BERTH_DRIVER_BACKEND_DOCKER_LOGS_H

#include <stdio.h>

#include "driver/backend/backend.h"

/* backend.h: logs(). The last 10,000 lines. */
int docker_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
