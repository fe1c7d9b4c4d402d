/* SPDX-License-Identifier: MIT */
/*
 * request.h - a command to run in a task, plain (exec.h) or as a resumable job (attachment.h).
 *
 * The caller owns everything that it points to. Times are milliseconds, deadlines absolute
 * (clock.h).
 */
#ifndef BERTH_DRIVER_REMOTE_REQUEST_H
#define BERTH_DRIVER_REMOTE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/remote/begin_sign.h"
#include "driver/remote/tty.h"

struct ssh_request {
    const char *command; /* for the user's shell; NULL: the shell itself */
    /* The same as RUN's payload (jobwire.h), for an agent that runs it without the user's login
     * shell. It is tried first; NULL: it is not tried. */
    const char *words;
    size_t words_length;
    bool direct; /* 'words' are a program and its arguments, which print no sign */
    /* The sign that the command began; its input is sent only then. NULL: it prints none. */
    struct begin_sign *sign;
    const void *input; /* sent first; may be NULL */
    size_t input_length;
    int input_fd; /* then this descriptor until its end; -1: none */
    /* A file for both streams of output, cut off where it is full; 0: our descriptors 1 and 2. */
    int capture_fd;
    struct tty *tty;      /* the job gets a terminal too, of the same size; NULL: none */
    int64_t start_ms;     /* how long the task may take to accept the command */
    int64_t grace_ms;     /* from TERM to KILL after a request to stop */
    int64_t keepalive_ms; /* after three unanswered ones the connection is lost; 0: none */
    struct signals *signals;
    int64_t deadline_ms; /* for all of it; 0: none */
    bool output_unread;  /* the exit report alone ends it: some servers never close the output */
    /* Ends the job in another way, for a server that may not pass signals on. Called once, after
     * TERM was sent; returns when the job has ended, or at the deadline. NULL: signals suffice. */
    int (*end_job)(void *context, int64_t deadline_ms, struct error *err);
    void *end_context;
};

#endif
