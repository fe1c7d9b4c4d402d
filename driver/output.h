/* SPDX-License-Identifier: MIT */
/*
 * output.h - our stdout or stderr as a sink that never blocks the poll loop.
 *
 * A pipe or terminal is opened anew through /proc/self/fd, because O_NONBLOCK on the inherited
 * description would also hit every other process that has it (the runner, a shell). Regular files
 * are written as they are: they do not block. The struct is the caller's and owns only the
 * descriptor it opened. Nothing is kept: what does not fit stays with whoever offered it, so a
 * reader that stops makes the sender stop.
 */
#ifndef BERTH_DRIVER_OUTPUT_H
#define BERTH_DRIVER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    bool owned;       /* 'fd' is our own non-blocking description */
    bool is_socket;   /* send() takes a flag for that instead */
    bool careful;     /* neither: ask poll(), then write no more than a pipe surely takes */
    bool blocked;     /* the last write did not take everything: wait for POLLOUT */
    int failed_errno; /* 0, or why no byte can be written any more (EPIPE, ENOSPC) */
};

void output_open(struct output *output, int fd);
void output_done(struct output *output);

/* Writes as much as goes without waiting and returns the number of bytes taken. After a failure
 * it takes everything and drops it, so that the sender can come to its end. */
size_t output_write(struct output *output, const void *bytes, size_t length);

#endif
