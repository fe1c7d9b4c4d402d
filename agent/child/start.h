/* SPDX-License-Identifier: MIT */
/*
 * start.h - starts a job's process: user, working directory, pipes or terminal, shell.
 *
 * Runs in the job's monitor. The child leads its own session and process group, and starts with an
 * empty signal mask, default dispositions and descriptors 0, 1 and 2 only.
 */
#ifndef BERTH_AGENT_CHILD_START_H
#define BERTH_AGENT_CHILD_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/ipc/request.h"
#include "agent/options.h"

struct job {
    pid_t pid;     /* also its process group and session */
    int stdin_fd;  /* write end; -1 when the input is a file */
    int stdout_fd; /* read ends, non-blocking */
    int stderr_fd;
    bool has_terminal; /* stdout_fd is its master, for input too, and the others are -1 */
};

/* Starts the command. Its standard input is 'input_fd', which stays the caller's; -1: a pipe. Fails
 * with errno in 'err': ENOENT for an unknown user, ENOPKG without an sftp-server, otherwise that of
 * the exec. ERROR_BUILD: a retry cannot succeed. On success the caller owns the descriptors;
 * job_close() closes them. */
int job_start(const struct job_request *request, const struct agent_options *options, int input_fd,
              struct job *out_job, struct error *err) __attribute__((warn_unused_result));

/* In a forked child: default dispositions and an empty signal mask. */
void job_reset_signals(void);

void job_close(struct job *job);

#endif
