/* SPDX-License-Identifier: MIT */
/*
 * tty.h - puts our terminal into raw mode for a command in a task, and restores it.
 *
 * tty_open() saves its modes and watches for new sizes. Call tty_make_raw() after the command's own
 * terminal was requested, which copies the modes that ours has then. tty_close() restores them and
 * may be called twice. In between, keys such as ^C are bytes for the command. The caller must reach
 * tty_close() on every path, so fatal signals have to come through signals.h. While SIGTSTP stops
 * us, the terminal is restored.
 */
#ifndef BERTH_DRIVER_REMOTE_TTY_H
#define BERTH_DRIVER_REMOTE_TTY_H

#include <stdbool.h>
#include <termios.h>

#include "common/error.h"

struct tty_size {
    int columns, rows;
};

struct tty {
    int fd;
    int events_fd; /* readable: call tty_changed() */
    bool raw;
    struct termios before;
    struct tty_size size;
};

int tty_open(struct tty *tty, int fd, struct error *err) __attribute__((warn_unused_result));
int tty_make_raw(struct tty *tty, struct error *err);
void tty_close(struct tty *tty);

/* Handles the signals that came; true when the size has changed. */
bool tty_changed(struct tty *tty, struct tty_size *out_size);

#endif
