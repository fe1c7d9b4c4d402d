/* SPDX-License-Identifier: MIT */
#include "driver/base/file_lock.h"

#include <errno.h>
#include <sys/file.h>

#include "common/clock.h"

#define PAUSE_FIRST_MS 2
#define PAUSE_LAST_MS  50

int file_lock(int fd, struct signals *signals, int64_t deadline_ms)
{
    int64_t pause_ms = PAUSE_FIRST_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return -1;
        }
        if (clock_now_ms() >= deadline_ms) {
            return 0;
        }
        int64_t next_ms = clock_earlier_ms(clock_deadline_ms(pause_ms), deadline_ms);
        if (signals_wait(signals, -1, next_ms) < 0) {
            errno = EINTR;
            return -1;
        }
        pause_ms = clock_earlier_ms(2 * pause_ms, PAUSE_LAST_MS);
    }
    return 1;
}
