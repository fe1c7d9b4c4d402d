/* SPDX-License-Identifier: MIT */
/*
 * signals.h - the signals that ask the driver to stop, as one descriptor for its poll loops.
 *
 * signals_open() blocks TERM, INT, HUP and QUIT, ignores PIPE and opens a signalfd; the struct is
 * the caller's, and there is one per process. Whoever waits polls 'fd' too and calls
 * signals_pending(), which remembers the first signal for good: every later wait of this process
 * then returns at once, which is what a stop request means. A stage that has work left to do
 * after the request (telling the job, cleaning up) calls signals_acknowledge() first.
 */
#ifndef BERTH_DRIVER_SIGNALS_H
#define BERTH_DRIVER_SIGNALS_H

#include <stdbool.h>

#include "common/error.h"

struct signals {
    int fd;
    int first; /* number of the first signal that asked us to stop, 0: none yet */
    bool acknowledged;
};

int signals_open(struct signals *signals, struct error *err) __attribute__((warn_unused_result));
void signals_done(struct signals *signals);

/* Reads what has come; true while a request to stop is unacknowledged. NULL: false. */
bool signals_pending(struct signals *signals);
void signals_acknowledge(struct signals *signals);

/* Waits until the absolute deadline for a request to stop or for 'other_fd' to become readable
 * (-1: none). Returns 1 for the descriptor, 0 for the deadline, -1 for a request to stop. */
int signals_wait(struct signals *signals, int other_fd, long long deadline_ms);

/* In a child before exec: the mask and dispositions that a program expects at birth. */
void signals_restore_defaults(void);

#endif
