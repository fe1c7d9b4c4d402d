/* SPDX-License-Identifier: MIT */
/*
 * durable.h - a job in a task that goes on when the link to it breaks.
 *
 * durable_run() starts it over the subsystem "berth-job" and stays with it, over as many links as
 * it takes: a lost one is resumed until [SSH] ReattachTimeout has passed or the backend says that
 * the task is gone. The script is started at most once. When the function returns 0, the job has
 * ended, every byte of its output was written to our descriptors 1 and 2 once and in order, and
 * the task was told that its result is safe. On failure a job may go on in the task: its id stays
 * in the metadata (metadata_note_run()) for durable_end_leftover() in a later stage, and cleanup
 * ends it with the task.
 */
#ifndef BERTH_DRIVER_DURABLE_H
#define BERTH_DRIVER_DURABLE_H

#include "common/error.h"
#include "driver/ssh.h"
#include "driver/task.h"

/* '*link' is used, replaced when it breaks, and stays the caller's; NULL when there is none left.
 * Returns 0, -1, or 1: the other side does not know the subsystem, nothing was started, and the
 * link is good for ssh_link_run(). The request's input_fd and terminal are not used. */
int durable_run(struct task *task, struct ssh_link **link, const struct ssh_request *request,
                struct ssh_outcome *out_outcome, struct error *err)
    __attribute__((warn_unused_result));

/* Ends the job that a driver which was killed left in this task, if there is one. */
int durable_end_leftover(struct task *task, struct ssh_link **link, struct error *err)
    __attribute__((warn_unused_result));

#endif
