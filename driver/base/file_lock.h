/* SPDX-License-Identifier: MIT */
/*
 * file_lock.h - waits for the exclusive lock of an open file, as flock(2) does, with a deadline.
 *
 * Short waits look often, long ones less. The lock belongs to the open file: it ends when the last
 * descriptor is closed, those of child processes included, or by flock(fd, LOCK_UN).
 */
#ifndef BERTH_DRIVER_BASE_FILE_LOCK_H
#define BERTH_DRIVER_BASE_FILE_LOCK_H

#include <stdint.h>

#include "driver/base/signals.h"

/* Returns 1; 0: another process holds the lock at the deadline, which may have passed already: then
 * there is one try. -1 with errno: the file cannot be locked, or EINTR for a request to stop, if
 * 'signals' is not NULL. */
int file_lock(int fd, struct signals *signals, int64_t deadline_ms)
    __attribute__((warn_unused_result));

#endif
