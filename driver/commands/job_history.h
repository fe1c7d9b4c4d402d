/* SPDX-License-Identifier: MIT */
/*
 * job_history.h - what the stages of a job leave for its line of the history (driver/history).
 *
 * main() calls job_history_begin() before a stage and job_history_end() after it; in between the
 * stage fills the context's figures. 'cleanup' ends a job and appends its line. Nothing here fails:
 * a history that cannot be written is a warning of 'cleanup', and silent in the job's log.
 */
#ifndef BERTH_DRIVER_COMMANDS_JOB_HISTORY_H
#define BERTH_DRIVER_COMMANDS_JOB_HISTORY_H

#include "driver/commands/command.h"
#include "driver/runner/outcome.h"
#include "driver/task/task.h"

void job_history_begin(const struct command_context *context, const char *stage);
/* 'stage': name, status, exit code, seconds and reason. */
void job_history_end(const struct command_context *context, const struct history_stage *stage);

/* The figures of a task that was launched, found or stopped. */
void job_history_task(struct command_context *context, const struct task *task);
void job_history_outcome(struct command_context *context, const struct job_outcome *outcome);

/* For 'gc': the line of a job that no cleanup has ended, with the reason. Also of those whose notes
 * alone are left. */
void job_history_lost(const struct config *config, const char *job, const char *reason);
void job_history_sweep(const struct config *config);

/* At the end of a job's last stage: "about 0.0123 USD (1 vCPU, 2 GB, 8.2 min, Spot)", if [Price]
 * and the task's size are known. */
void job_history_print_cost(const struct command_context *context, const struct task *task);

#endif
