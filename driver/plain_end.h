/* SPDX-License-Identifier: MIT */
/*
 * plain_end.h - ends a job that runs under a plain sshd, and knows that it has.
 *
 * OpenSSH's server refuses "signal" requests for sessions of another user than its own and for
 * root's in general, and a session that is closed leaves its processes to themselves. So a second
 * connection runs a few lines of shell in the task: they find the job's shell by the marker of its
 * bootstrap (script.h), and by that shell's SSH_CONNECTION, which sshd sets anew for every
 * connection and every process inherits, whatever else was started there, detached or not. All of
 * it gets TERM, and KILL after the grace period, until nothing is left. The image needs /proc, tr,
 * grep and sleep.
 */
#ifndef BERTH_DRIVER_PLAIN_END_H
#define BERTH_DRIVER_PLAIN_END_H

#include "common/error.h"
#include "driver/task.h"

/* 0: every process of the job has ended. Takes up to the task's grace period and some seconds. */
int plain_end(struct task *task, const char *marker, struct error *err)
    __attribute__((warn_unused_result));

#endif
