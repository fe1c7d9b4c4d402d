/* SPDX-License-Identifier: MIT */
/*
 * task_command.h - runs a program of ours or of the helper image in a container, without a shell,
 * and captures the little that it prints.
 */
#ifndef BERTH_DRIVER_TASK_TASK_COMMAND_H
#define BERTH_DRIVER_TASK_TASK_COMMAND_H

#include "driver/task/task.h"

/* Room for what is a line or two. */
#define TASK_COMMAND_TEXT_BYTES 4096

/* -1: the program was not run, its exit was not reported by the deadline, or a request to stop
 * ended it (EINTR), which is acknowledged then. 'connection' is one to the container. */
int task_command(const struct task *task, struct ssh_connection *connection,
                 struct backend_command *command, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
