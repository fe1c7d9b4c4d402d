/* SPDX-License-Identifier: MIT */
#include "agent/ipc/drain.h"

#include <poll.h>
#include <sys/ioctl.h>

#include "agent/limits.h"
#include "common/clock.h"

static bool is_dry(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return fd < 0 || poll(&entry, 1, 0) == 0;
}

void drain_begin(struct drain *drain, const int fds[DRAIN_STREAMS], int64_t silence_ms)
{
    *drain = (struct drain){.silence_ms = silence_ms,
                            .deadline_ms = clock_deadline_ms(silence_ms),
                            .bound_ms = clock_deadline_ms(silence_ms * LIMIT_DRAIN_TIMES)};
    for (int stream = 0; stream < DRAIN_STREAMS; stream++) {
        int bytes = 0;
        if (fds[stream] >= 0 && ioctl(fds[stream], FIONREAD, &bytes) == 0 && bytes > 0) {
            drain->owed[stream] = (uint64_t)bytes;
        }
    }
}

void drain_read(struct drain *drain, int stream, size_t bytes)
{
    uint64_t owed = drain->owed[stream];
    drain->owed[stream] = bytes < owed ? owed - bytes : 0;
    drain->deadline_ms = clock_deadline_ms(drain->silence_ms);
}

bool drain_is_over(struct drain *drain, const int fds[DRAIN_STREAMS], bool held)
{
    int64_t now_ms = clock_now_ms();
    bool owed = held;
    bool closed = true;
    bool dry = true;
    for (int stream = 0; stream < DRAIN_STREAMS; stream++) {
        bool empty = is_dry(fds[stream]);
        owed = owed || (!empty && drain->owed[stream] > 0);
        closed = closed && fds[stream] < 0;
        dry = dry && empty;
    }
    if (!owed && (closed || now_ms >= drain->bound_ms || (dry && now_ms >= drain->deadline_ms))) {
        return true;
    }
    if (now_ms >= drain->deadline_ms) { /* unread output: the reader is slow */
        drain->deadline_ms = clock_deadline_ms(drain->silence_ms);
    }
    if (!owed) {
        drain->deadline_ms = clock_earlier_ms(drain->deadline_ms, drain->bound_ms);
    }
    return false;
}
