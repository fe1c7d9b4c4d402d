/* SPDX-License-Identifier: MIT */
/*
 * resumable_job.h - runs a job that keeps running in its task when the connection breaks.
 *
 * resumable_job_run() starts it over the subsystem "berth-job" and stays with it, over as many
 * connections as needed: a lost one is replaced until [SSH] ReattachTimeout has passed or the
 * backend reports that the task has ended. The script is started at most once. When the function
 * returns 0, the job has ended, every byte of its output was written to our descriptors 1 and 2
 * once and in order, and the agent was asked to release its result. On failure a job may still run
 * in the task: its id stays in the metadata (metadata_note_run()) for resumable_job_end_leftover()
 * in a later stage, and cleanup ends it with the task.
 */
#ifndef BERTH_DRIVER_TASK_RESUMABLE_JOB_H
#define BERTH_DRIVER_TASK_RESUMABLE_JOB_H

#include "common/error.h"
#include "driver/remote/connection.h"
#include "driver/remote/request.h"
#include "driver/runner/outcome.h"
#include "driver/task/task.h"

/* '*connection' is used, replaced when it breaks, and stays the caller's; NULL when there is none
 * left. Returns 0, -1, or 1: the server does not have the subsystem, nothing was started, and the
 * connection can be used for ssh_exec(). The request's input_fd and tty are not used. */
int resumable_job_run(struct task *task, struct ssh_connection **connection,
                      const struct ssh_request *request, struct job_outcome *out_outcome,
                      struct error *err) __attribute__((warn_unused_result));

/* Whether a killed driver may have left a job running in 'container' of this task. */
bool resumable_job_is_left(const struct task *task);

/* Ends the job that a killed driver left running in this task, if there is one. */
int resumable_job_end_leftover(struct task *task, struct ssh_connection **connection,
                               struct error *err) __attribute__((warn_unused_result));

#endif
