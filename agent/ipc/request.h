/* SPDX-License-Identifier: MIT */
/*
 * request.h - a client's request for a job, in a memory file that a session writes and the job's
 * monitor reads.
 *
 * The file holds a fixed header with lengths, then the texts. The reader trusts nothing in it:
 * lengths have ceilings (limits.h), texts except 'words' hold no NUL. struct job_request owns its
 * texts; job_request_done() wipes and frees them, since a command may contain secrets.
 */
#ifndef BERTH_AGENT_IPC_REQUEST_H
#define BERTH_AGENT_IPC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/ipc/terminal_modes.h"
#include "common/error.h"

struct job_request {
    char *user;      /* name of the login */
    char *command;   /* for the user's shell; NULL: the shell itself, or 'words' */
    char *subsystem; /* "sftp": the image's sftp-server, no shell; NULL: none */
    char *variables; /* lines of "NAME=VALUE", already checked (accept_env.h); NULL: none */
    char *term;      /* type of the terminal; NULL: no terminal, but pipes */
    struct terminal_size size;
    struct terminal_modes modes;
    char *client; /* "ADDRESS PORT SERVER-ADDRESS SERVER-PORT", for SSH_CONNECTION */
    char *words;  /* RUN's payload (jobwire.h), checked by job_request_words(); NULL: none */
    uint32_t words_bytes;
};

void job_request_done(struct job_request *request);

/* Whether they are a directory and at least one word, not empty, each terminated by a NUL. */
bool job_request_words(const char *words, size_t length);

/* Returns a new close-on-exec descriptor that the caller owns, or -1. */
int job_request_write(const struct job_request *request, struct error *err)
    __attribute__((warn_unused_result));

int job_request_read(int fd, struct job_request *out_request, struct error *err)
    __attribute__((warn_unused_result));

#endif
