/* SPDX-License-Identifier: MIT */
/*
 * exec.h - runs a plain command, or a shell in a terminal, which ends with its connection.
 *
 * Output goes to our descriptors 1 and 2 as it arrives; a reader that stops makes the task stop. A
 * request to stop (signals.h) becomes TERM for the job, then KILL after the grace period. Success
 * means that an exit report came in and every byte before it was written.
 */
#ifndef BERTH_DRIVER_REMOTE_EXEC_H
#define BERTH_DRIVER_REMOTE_EXEC_H

#include "common/error.h"
#include "driver/remote/connection.h"
#include "driver/remote/request.h"
#include "driver/runner/outcome.h"

int ssh_exec(struct ssh_connection *connection, const struct ssh_request *request,
             struct job_outcome *out_outcome, struct error *err)
    __attribute__((warn_unused_result));

/* The same; the command gets a terminal when standard input, output and error are all terminals.
 * The terminal's modes are restored on every path. */
int ssh_exec_in_terminal(struct ssh_connection *connection, struct ssh_request *request,
                         struct job_outcome *out_outcome, struct error *err)
    __attribute__((warn_unused_result));

#endif
