/* SPDX-License-Identifier: MIT */
/*
 * request.h - what a client wants run, as a memory file that a session writes and the job's
 * monitor reads.
 *
 * The file holds a fixed header with lengths, then the texts. The reader trusts nothing in it:
 * lengths have ceilings (limits.h), texts hold no NUL. struct job_request owns its texts;
 * job_request_done() wipes and frees them, since a command can hold what is nobody's business.
 */
#ifndef BERTH_AGENT_JOB_REQUEST_H
#define BERTH_AGENT_JOB_REQUEST_H

#include "agent/job/terminal.h"
#include "common/error.h"

struct job_request {
    char *user;      /* name that logged in */
    char *command;   /* for the user's shell; NULL: the shell itself */
    char *subsystem; /* "sftp": the image's sftp-server, no shell; NULL: none */
    char *variables; /* "NAME=VALUE\n" each, checked (accept_env.h); NULL: none */
    char *term;      /* type of the terminal; NULL: pipes, no terminal */
    struct terminal_size size;
    struct terminal_modes modes;
    char *client; /* "ADDRESS PORT SERVER-ADDRESS SERVER-PORT", for SSH_CONNECTION */
};

void job_request_done(struct job_request *request);

/* Returns a new close-on-exec descriptor that the caller owns, or -1 with errno. */
int job_request_write(const struct job_request *request);

int job_request_read(int fd, struct job_request *out_request, struct error *err)
    __attribute__((warn_unused_result));

#endif
