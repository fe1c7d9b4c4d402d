/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job/durable_private.h"
#include "agent/job/lease.h"
#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

static uint64_t read_bytes(const struct durable *durable)
{
    return durable->spool.head[0] + durable->spool.head[1];
}

static void look_again_later(struct durable *durable, uint64_t bytes)
{
    durable->lease_from = bytes;
    durable->lease_ms = clock_deadline_ms(LIMIT_PATIENCE_MS);
}

/* Without both pipes the end of the output is near. What the session has not been told of, it
 * could not send first. */
static bool may_lend(const struct durable *durable)
{
    return !durable->exited && !durable->closing && !durable->untold && durable->session >= 0 &&
           durable->job->stdout_fd >= 0 && durable->job->stderr_fd >= 0;
}

/* The pipe, opened once more: flags of ours, O_NONBLOCK among them, are none of the session's. */
static int open_again(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void lend(struct durable *durable)
{
    struct wire_message message = {.type = WIRE_JOB_LENT};
    cleanup_fd int out = open_again(durable->job->stdout_fd);
    cleanup_fd int err = open_again(durable->job->stderr_fd);
    int fds[] = {durable->spool.fd, out, err};
    if (out < 0 || err < 0 || !lease_lend(&durable->spool)) {
        return; /* no /proc, a spool in a directory, no room */
    }
    durable->lent = true;
    message.number = (int32_t)durable->spool.lease;
    if (wire_send(durable->session, &message, fds, 3) < 0) { /* full, or gone: see on_session() */
        durable_end_lease(durable, true);
        return;
    }
    log_debug("job %d: lent to its session", (int)durable->job->pid);
}

void durable_consider_lease(struct durable *durable)
{
    uint64_t bytes = read_bytes(durable);
    if (durable->lent) {
        return;
    }
    if (clock_now_ms() >= durable->lease_ms) {
        look_again_later(durable, bytes);
    } else if (bytes - durable->lease_from >= LIMIT_LEASE_BYTES &&
               bytes <= durable->sent + (uint64_t)2 * LIMIT_AHEAD_BYTES && may_lend(durable)) {
        lend(durable);
        look_again_later(durable, bytes);
    }
}

void durable_watch_lease(struct durable *durable)
{
    if (!durable->lent) {
        return;
    }
    if (!lease_is_open(&durable->spool)) {
        durable_end_lease(durable, false);
    } else if (clock_now_ms() >= durable->lease_ms) {
        uint64_t moved = lease_moved(&durable->spool);
        if (moved - durable->lease_from < LIMIT_LEASE_BYTES) {
            durable_end_lease(durable, false);
        }
        look_again_later(durable, moved);
    }
}

static bool is_gone(int session)
{
    struct pollfd entry = {.fd = session, .events = 0};
    return poll(&entry, 1, 1) > 0; /* a session in the middle of a read closes it by its death */
}

/* Its socket is open, so it lives, and its number is still its own. One that lied about all that
 * must not make us signal init. */
static void kill_session(const struct durable *durable)
{
    struct ucred session;
    socklen_t length = sizeof(session);
    if (getsockopt(durable->session, SOL_SOCKET, SO_PEERCRED, &session, &length) == 0 &&
        session.pid > 1 && session.pid != getppid()) {
        log_warn("job %d: its session %d does not let go of the output, killing the session",
                 (int)durable->job->pid, (int)session.pid);
        (void)kill(session.pid, SIGKILL);
    }
}

/* The session is asked for nothing: it is in the middle of a read, and out of it in microseconds.
 */
static enum lease_end take_back(struct durable *durable, bool session_is_gone)
{
    int64_t deadline_ms = clock_deadline_ms(LIMIT_LEASE_WAIT_MS);
    bool killed = false;
    enum lease_end end;
    while ((end = lease_take_back(&durable->spool, session_is_gone)) == LEASE_BUSY) {
        if (clock_now_ms() >= deadline_ms) {
            session_is_gone = killed;
            killed = true;
            kill_session(durable);
            deadline_ms = clock_deadline_ms(LIMIT_LEASE_WAIT_MS);
        }
        session_is_gone = session_is_gone || is_gone(durable->session);
    }
    return end;
}

void durable_end_lease(struct durable *durable, bool session_is_gone)
{
    if (!durable->lent) {
        return;
    }
    if (take_back(durable, session_is_gone) == LEASE_BROKEN) {
        log_error("job %d: its session left the output in disorder, the job is lost",
                  (int)durable->job->pid);
        abort();
    }
    durable->lent = false;
    durable->untold = true;
    durable_release(durable);
    log_debug("job %d: taken back from its session", (int)durable->job->pid);
}
