/* SPDX-License-Identifier: MIT */
/*
 * start.h - one job's process: user, working directory, pipes or terminal, shell.
 *
 * Runs in the job's monitor. The child is leader of its own session and process group, starts with
 * an empty signal mask and default dispositions, and has descriptors 0, 1 and 2 only.
 */
#ifndef BERTH_AGENT_JOB_START_H
#define BERTH_AGENT_JOB_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/job/request.h"
#include "agent/options.h"

struct job {
    pid_t pid;     /* also its process group and session */
    int stdin_fd;  /* write end; -1 when the input is a file */
    int stdout_fd; /* read ends, non-blocking */
    int stderr_fd;
    bool has_terminal; /* then stdout_fd is its master, for both ways, and the others are -1 */
};

/* Starts the command. Its standard input is a pipe, or 'input_fd', which stays the caller's, unless
 * that is -1. Fails with errno in 'err' when the user is unknown (ENOENT), or the shell
 * cannot be executed; ENOPKG when the image has no sftp-server. On success the caller owns the
 * descriptors; job_close() closes them. */
int job_start(const struct job_request *request, const struct agent_options *options, int input_fd,
              struct job *out_job, struct error *err) __attribute__((warn_unused_result));

/* In a new process: default dispositions and an empty mask, whatever was inherited. */
void job_reset_signals(void);

void job_close(struct job *job);

#endif
