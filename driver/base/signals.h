/* SPDX-License-Identifier: MIT */
/*
 * signals.h - the signals that request a stop, as one descriptor for poll loops.
 *
 * signals_block() is the first call of main(): a stop request that comes during startup waits for
 * signals_open(), which ignores PIPE and opens a signalfd for TERM, INT, HUP and QUIT. The struct
 * is the caller's, and there is one for each process. A loop polls 'fd' and calls
 * signals_pending(), which remembers the first signal: from then on every wait of this process
 * returns at once. A stage that has work left after the request (signalling the job, cleaning up)
 * calls signals_acknowledge() first. Work that must not begin after it asks signals_requested().
 */
#ifndef BERTH_DRIVER_BASE_SIGNALS_H
#define BERTH_DRIVER_BASE_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct signals {
    int fd;
    int first;          /* number of the first signal; 0: none yet */
    int64_t first_at_s; /* when it was read, Unix time */
    bool acknowledged;
};

void signals_block(void);
int signals_open(struct signals *signals, struct error *err) __attribute__((warn_unused_result));
void signals_done(struct signals *signals);
/* From now on this one has its disposition's effect, and 'first' never names it. */
void signals_unblock(int number);

/* Reads pending signals; true while a request to stop is unacknowledged. NULL: false. */
bool signals_pending(struct signals *signals);
void signals_acknowledge(struct signals *signals);
/* As signals_pending(), but also once it is acknowledged. */
bool signals_requested(struct signals *signals);

/* Waits until the absolute deadline for a request to stop or for 'other_fd' to become readable
 * (-1: none). Returns 1 for the descriptor, 0 for the deadline, -1 for a request to stop. */
int signals_wait(struct signals *signals, int other_fd, long long deadline_ms);

/* In a child before exec: restores the default mask and dispositions. */
void signals_restore_defaults(void);

#endif
