/* SPDX-License-Identifier: MIT */
/*
 * clock.h - absolute deadlines on the monotonic clock, and the date.
 *
 * Times are milliseconds (_ms), those of the date Unix seconds (_s). Deadlines are absolute, so a
 * loop need not recompute the remaining time. Cannot fail.
 */
#ifndef BERTH_COMMON_CLOCK_H
#define BERTH_COMMON_CLOCK_H

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

/* Not time(2): glibc and the kernel's vDSO take it from the last tick, so that for some
 * milliseconds a moment that has come is still ahead. */
static inline int64_t clock_unix_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

static inline int64_t clock_deadline_ms(int64_t from_now_ms)
{
    return clock_now_ms() + from_now_ms;
}

static inline int64_t clock_earlier_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The timeout for poll(2): -1: none, 0: the deadline has passed. Callers check the deadline again.
 */
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
