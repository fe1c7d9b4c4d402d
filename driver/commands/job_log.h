/* SPDX-License-Identifier: MIT */
/*
 * job_log.h - the lines of LogFile that belong to one job.
 *
 * Lines about the end of a stage name the job; a process of the driver works on one job, so the
 * other lines of that process belong to it too. Only lines between the job's begin and end count,
 * since process ids return. At most the last 64 MiB of the file, and of LogFile.1 before it, are
 * read.
 */
#ifndef BERTH_DRIVER_COMMANDS_JOB_LOG_H
#define BERTH_DRIVER_COMMANDS_JOB_LOG_H

#include "common/error.h"
#include "driver/config/config.h"
#include "driver/history/history.h"

/* Prints them under a heading, and reports on stderr if there are none; nothing without LogFile, or
 * if it is not a regular file. */
int job_log_print(const struct config *config, const struct history_job *job, struct error *err)
    __attribute__((warn_unused_result));

#endif
