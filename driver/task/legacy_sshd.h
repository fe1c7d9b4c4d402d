/* SPDX-License-Identifier: MIT */
/*
 * legacy_sshd.h - ends a job that runs under a plain sshd, and confirms that it has ended.
 *
 * OpenSSH's server refuses "signal" requests for sessions of another user than its own and for
 * root's in general, and leaves the processes of a closed session running. So a second connection
 * runs a few lines of shell in the task: they find the job's shell by the marker of its bootstrap
 * (script_bootstrap.h), and the job's processes by that shell's SSH_CONNECTION, which is different
 * for every connection and inherited by every process, detached or not. All of them get TERM, and
 * KILL after the grace period, until none is left. The image needs /proc, head, tr, grep and sleep.
 */
#ifndef BERTH_DRIVER_TASK_LEGACY_SSHD_H
#define BERTH_DRIVER_TASK_LEGACY_SSHD_H

#include "common/error.h"
#include "driver/task/task.h"

/* Returns 0 when every process of the job has ended. Takes up to the task's grace period and some
 * seconds, and returns at the deadline whatever the server does. */
int legacy_sshd_kill(struct task *task, const char *marker, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
