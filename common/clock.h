/* SPDX-License-Identifier: MIT */
/*
 * clock.h - absolute deadlines on the monotonic clock.
 *
 * All times are milliseconds (_ms). A deadline is an absolute time, so that a loop that wakes up
 * for other reasons need not recompute what is left of a timeout. Cannot fail.
 */
#ifndef BERTH_CLOCK_H
#define BERTH_CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER INT64_MAX

static inline int64_t clock_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t clock_deadline_ms(int64_t from_now_ms)
{
    return clock_now_ms() + from_now_ms;
}

static inline int64_t clock_earlier_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What to give poll(2): -1 for never, 0 when the deadline has passed. Rounded up by design of the
 * callers: they test the deadline again. */
static inline int clock_poll_timeout(int64_t deadline_ms)
{
    if (deadline_ms == CLOCK_NEVER) {
        return -1;
    }
    int64_t left = deadline_ms - clock_now_ms();
    if (left <= 0) {
        return 0;
    }
    return left > INT_MAX ? INT_MAX : (int)left;
}

#endif
