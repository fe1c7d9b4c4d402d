/* SPDX-License-Identifier: MIT */
/*
 * logs.h - the agent's log of a job on this machine: the file agent.log in the job's directory.
 */
#ifndef BERTH_DRIVER_BACKEND_LOCAL_LOGS_H
#define BERTH_DRIVER_BACKEND_LOCAL_LOGS_H

#include <stdio.h>

#include "driver/backend/backend.h"

/* backend.h: logs(). */
int local_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
