/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - the terminal that we run in, handed through to a job: raw, and back as it was.
 *
 * terminal_open() remembers its modes and watches for new sizes. terminal_make_raw() comes after
 * the job's own terminal was asked for, which gets the modes that this one has then.
 * terminal_close() puts back what was found and may be called twice. In between, keys such as ^C
 * are bytes for the job. Whoever opens it must reach terminal_close() on every path, so signals
 * that end us come by signals.h. A stop from outside (SIGTSTP) gives the terminal back while it
 * lasts.
 */
#ifndef BERTH_DRIVER_TERMINAL_H
#define BERTH_DRIVER_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "common/error.h"

struct terminal_size {
    int columns, rows;
};

struct terminal {
    int fd;
    int events_fd; /* readable: terminal_changed() has something to do */
    bool raw;
    struct termios before;
    struct terminal_size size;
};

int terminal_open(struct terminal *terminal, int fd, struct error *err)
    __attribute__((warn_unused_result));
int terminal_make_raw(struct terminal *terminal, struct error *err);
void terminal_close(struct terminal *terminal);

/* Handles what happened; true when the size is another one. */
bool terminal_changed(struct terminal *terminal, struct terminal_size *out_size);

#endif
