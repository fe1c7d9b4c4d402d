/* SPDX-License-Identifier: MIT */
#include "agent/health.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "agent/listen.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define DEADLINE_MS 2000
#define GREETING    "SSH-2.0-"

static int wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int ready;
    do {
        ready = poll(&entry, 1, clock_poll_timeout(deadline_ms));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        errno = ETIMEDOUT;
    }
    return ready > 0 ? 0 : -1;
}

/* The start of the server's version line, which may arrive in pieces. */
static int await_greeting(int fd, int64_t deadline_ms)
{
    char text[sizeof(GREETING)] = "";
    size_t length = 0;
    while (length < strlen(GREETING)) {
        if (wait_for(fd, POLLIN, deadline_ms) < 0) {
            return -1;
        }
        ssize_t got = read(fd, text + length, strlen(GREETING) - length);
        if (got == 0) {
            errno = ECONNRESET;
            return -1;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        length += got > 0 ? (size_t)got : 0;
    }
    errno = EPROTO;
    return memcmp(text, GREETING, strlen(GREETING)) == 0 ? 0 : -1;
}

int health_check(const char *where, struct error *err)
{
    int64_t deadline_ms = clock_deadline_ms(DEADLINE_MS);
    cleanup_fd int fd = -1;
    if (listen_connect(where, &fd, err) < 0) {
        return -1;
    }
    int reason = 0;
    socklen_t length = sizeof(reason);
    bool connected = wait_for(fd, POLLOUT, deadline_ms) == 0 &&
                     getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length) == 0;
    if (reason != 0) {
        errno = reason;
    }
    if (!connected || reason != 0 || await_greeting(fd, deadline_ms) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "no agent answers on '%s'", where);
    }
    return 0;
}
