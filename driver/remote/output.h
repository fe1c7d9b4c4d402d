/* SPDX-License-Identifier: MIT */
/*
 * output.h - our stdout or stderr, written without blocking the poll loop.
 *
 * A pipe or terminal is reopened through /proc/self/fd: O_NONBLOCK on the inherited description
 * would also affect every other process that has it (the runner, a shell). Regular files are
 * written as they are, since they do not block. The struct is the caller's and owns only the
 * descriptor that it opened. It has no buffer: bytes that do not fit stay with the caller, so a
 * reader that stops makes the sender stop.
 */
#ifndef BERTH_DRIVER_REMOTE_OUTPUT_H
#define BERTH_DRIVER_REMOTE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    bool owned;       /* 'fd' was reopened, non-blocking */
    bool is_socket;   /* written by send() with MSG_DONTWAIT */
    bool careful;     /* neither: poll() first, then write at most PIPE_BUF bytes */
    bool blocked;     /* the last write did not take everything; wait for POLLOUT */
    int failed_errno; /* 0, or why nothing can be written any more (EPIPE, ENOSPC) */
};

void output_open(struct output *output, int fd);
void output_done(struct output *output);

/* Writes as much as it can without waiting and returns the number of bytes taken. After a failure
 * it takes and drops everything, so that the sender can finish. */
size_t output_write(struct output *output, const void *bytes, size_t length);

#endif
