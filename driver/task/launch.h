/* SPDX-License-Identifier: MIT */
/*
 * launch.h - launches a task: keys, metadata, the backend's launch, the first logins, and checks of
 * the helper container.
 *
 * The process that launches owns the metadata. A launch that fails leaves nothing behind.
 */
#ifndef BERTH_DRIVER_TASK_LAUNCH_H
#define BERTH_DRIVER_TASK_LAUNCH_H

#include "driver/task/task.h"

/* Generates keys, saves the intent to disk, launches the task and logs in to each container with an
 * agent, which verifies host key and user key. Then the helper, if there is one, is checked
 * (helper.h). 'out_connection' is the connection to the job's container. */
int task_launch(struct task *task, const char *job, struct ssh_connection **out_connection,
                struct error *err) __attribute__((warn_unused_result));

#endif
