/* SPDX-License-Identifier: MIT */
#include "agent/job/durable.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/job/durable_private.h"
#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

static int *stream_fd(const struct durable *durable, int stream)
{
    return stream == 0 ? &durable->job->stdout_fd : &durable->job->stderr_fd;
}

int durable_open(struct durable *durable, const struct agent_options *options, struct job *job,
                 int control, int session, struct error *err)
{
    *durable = (struct durable){.options = options,
                                .job = job,
                                .control = control,
                                .session = session,
                                .deadline_ms = CLOCK_NEVER};
    return spool_open(&durable->spool, options->spool_limit_bytes, options->spool_directory, err);
}

void durable_close(struct durable *durable)
{
    spool_close(&durable->spool);
    cleanup_fd_fn(&durable->control);
    cleanup_fd_fn(&durable->session);
}

/* The session has enough to do, and pieces that grow meanwhile cost less. */
static bool session_is_busy(const struct durable *durable)
{
    uint64_t read_bytes = durable->spool.head[0] + durable->spool.head[1];
    return durable->session >= 0 && read_bytes >= durable->sent + LIMIT_AHEAD_BYTES &&
           clock_now_ms() < durable->patience_ms;
}

static void detach(struct durable *durable)
{
    durable_end_lease(durable, true);
    cleanup_fd_fn(&durable->session);
    durable->deadline_ms = clock_deadline_ms(durable->options->detach_timeout_ms);
    if (!durable->released && !durable->closing) {
        log_info("job %d: detached, waiting %.0f s for somebody to attach", (int)durable->job->pid,
                 (double)durable->options->detach_timeout_ms / 1000.0);
    }
}

static void send_to_session(struct durable *durable, struct wire_message *message, const int *fds,
                            int count)
{
    message->offsets[0] = (int64_t)durable->spool.head[0];
    message->offsets[1] = (int64_t)durable->spool.head[1];
    if (wire_send(durable->session, message, fds, count) == 0) {
        durable->untold = false;
    } else if (errno != EAGAIN && errno != ENOBUFS) {
        detach(durable);
    }
}

/* The last message says everything, so one that does not fit the socket now is made anew. */
static void tell(struct durable *durable)
{
    struct wire_message message = {.type = WIRE_JOB_OUTPUT};
    if (durable->over) {
        message = durable->result;
    }
    if (durable->session >= 0 && durable->untold && !durable->lent) {
        send_to_session(durable, &message, NULL, 0);
    }
}

static void introduce(struct durable *durable, int type)
{
    struct wire_message message = {.type = type, .number = durable->job->pid};
    message.offsets[0] = (int64_t)durable->spool.tail[0];
    message.offsets[1] = (int64_t)durable->spool.tail[1];
    durable->sent = durable->spool.tail[0] + durable->spool.tail[1];
    durable->untold = true;
    if (wire_send(durable->session, &message, &durable->spool.reader_fd, 1) < 0) {
        detach(durable);
    }
}

void durable_started(struct durable *durable)
{
    introduce(durable, WIRE_JOB_STARTED);
}

void durable_shut_down(struct durable *durable)
{
    durable->closing = true;
}

static void attach(struct durable *durable, int session)
{
    if (durable->session >= 0) {
        struct wire_message message = {.type = WIRE_JOB_REPLACED};
        durable_end_lease(durable, false);
        (void)wire_send(durable->session, &message, NULL, 0); /* most likely long dead */
        cleanup_fd_fn(&durable->session);
    }
    log_info("job %d: attached", (int)durable->job->pid);
    durable->session = session;
    durable->deadline_ms = CLOCK_NEVER;
    introduce(durable, WIRE_JOB_ATTACHED);
}

static void on_control(struct durable *durable)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    enum wire_result result;
    while (durable->control >= 0 &&
           (result = wire_receive(durable->control, &message, fds)) != WIRE_NOTHING) {
        if (result == WIRE_CLOSED) { /* init died, which also sent us SIGTERM */
            cleanup_fd_fn(&durable->control);
            return;
        }
        if (message.type == WIRE_JOB_ATTACH && fds[0] >= 0) {
            attach(durable, steal_fd(&fds[0]));
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
    }
}

void durable_release(struct durable *durable)
{
    for (int stream = 0; stream < SPOOL_STREAMS && !durable->lent; stream++) {
        spool_release(&durable->spool, stream, durable->acked[stream]);
    }
    durable->full = false;
}

static void acknowledge(struct durable *durable, const struct wire_message *message)
{
    durable->sent = (uint64_t)message->sent[0] + (uint64_t)message->sent[1];
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        durable->acked[stream] = (uint64_t)message->offsets[stream];
    }
    durable_release(durable);
}

static void on_session(struct durable *durable, void (*on_signal)(void *, int), void *context)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    while (durable->session >= 0) {
        enum wire_result result = wire_receive(durable->session, &message, fds);
        if (result == WIRE_NOTHING) {
            return;
        }
        if (result == WIRE_CLOSED) {
            detach(durable);
            return;
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
        if (message.type == WIRE_JOB_SIGNAL) {
            on_signal(context, message.number);
        } else if (message.type == WIRE_JOB_ACK) {
            acknowledge(durable, &message);
        } else if (message.type == WIRE_JOB_RELEASE && durable->over) {
            durable->released = true;
        }
    }
}

static void read_output(struct durable *durable)
{
    for (int stream = 0; stream < SPOOL_STREAMS && !durable->over; stream++) {
        int *fd = stream_fd(durable, stream);
        if (*fd < 0) {
            continue;
        }
        uint64_t before = durable->spool.head[stream];
        enum spool_fill result = spool_fill(&durable->spool, stream, *fd);
        if (result == SPOOL_ENDED) {
            cleanup_fd_fn(fd);
        } else if (result == SPOOL_FULL) {
            durable->full = true;
        }
        if (durable->spool.head[stream] != before) {
            durable->untold = true;
            durable->patience_ms = clock_deadline_ms(LIMIT_PATIENCE_MS);
        }
    }
}

static bool is_dry(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return fd < 0 || poll(&entry, 1, 0) == 0;
}

static void log_end(struct durable *durable)
{
    struct job_usage *usage = &durable->result.usage;
    char who[32];
    usage->out_bytes = (int64_t)(durable->spool.head[0] + durable->spool.head[1]);
    (void)snprintf(who, sizeof(who), "job %d:", (int)durable->job->pid);
    usage_log(who, durable->result.number, durable->result.ran_ms, usage);
}

/* All pipes ended, or those that leftovers hold have been silent for long enough. */
static void look_for_the_end(struct durable *durable)
{
    bool closed = durable->job->stdout_fd < 0 && durable->job->stderr_fd < 0;
    bool unwanted = durable->abandoned || (durable->closing && durable->session < 0);
    if (!durable->exited || durable->over || durable->lent) {
        return;
    }
    if (!closed && clock_now_ms() >= durable->drain_ms) {
        durable->drain_ms = clock_deadline_ms(durable->options->drain_ms);
        closed = is_dry(durable->job->stdout_fd) && is_dry(durable->job->stderr_fd);
    }
    if (closed || unwanted) { /* output that nobody will read must not hold up the end */
        durable->over = true;
        durable->untold = true;
        log_end(durable);
    }
}

/* Looks at once: the pipes may have ended in the same turn of the loop, and then nothing but the
 * drain deadline would wake us. */
void durable_exited(struct durable *durable, const struct wire_message *result)
{
    durable_end_lease(durable, false);
    durable->result = *result;
    durable->exited = true;
    durable->drain_ms = clock_deadline_ms(durable->options->drain_ms);
    look_for_the_end(durable);
}

void durable_prepare(const struct durable *durable, struct pollfd entries[DURABLE_ENTRIES])
{
    bool reading = !durable->full && !durable->over && !durable->lent && !session_is_busy(durable);
    short telling = durable->untold ? POLLOUT : 0;
    entries[0] = (struct pollfd){.fd = durable->control, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = durable->session, .events = (short)(POLLIN | telling)};
    entries[2] = (struct pollfd){.fd = reading ? durable->job->stdout_fd : -1, .events = POLLIN};
    entries[3] = (struct pollfd){.fd = reading ? durable->job->stderr_fd : -1, .events = POLLIN};
}

int64_t durable_deadline_ms(const struct durable *durable)
{
    int64_t drain_ms = durable->exited && !durable->over ? durable->drain_ms : CLOCK_NEVER;
    int64_t detached_ms = durable->abandoned ? CLOCK_NEVER : durable->deadline_ms;
    bool waiting = !durable->full && !durable->over && !durable->lent && session_is_busy(durable);
    int64_t patience_ms = waiting ? durable->patience_ms : CLOCK_NEVER;
    int64_t lease_ms = durable->lent ? durable->lease_ms : CLOCK_NEVER;
    return clock_earlier_ms(clock_earlier_ms(drain_ms, detached_ms),
                            clock_earlier_ms(patience_ms, lease_ms));
}

bool durable_service(struct durable *durable, void (*on_signal)(void *context, int number),
                     void *context)
{
    on_control(durable);
    on_session(durable, on_signal, context);
    durable_watch_lease(durable);
    if (!durable->full && !durable->lent && !session_is_busy(durable)) {
        read_output(durable);
    }
    look_for_the_end(durable);
    tell(durable);
    durable_consider_lease(durable);
    if (!durable->abandoned && clock_now_ms() >= durable->deadline_ms) {
        log_warn("job %d: nobody attached in time, %s", (int)durable->job->pid,
                 durable->over ? "dropping its result" : "ending it");
        durable->abandoned = true;
        return false;
    }
    return true;
}

bool durable_is_done(const struct durable *durable)
{
    if (durable->released) {
        return true;
    }
    bool told = durable->session < 0 || !durable->untold;
    return (durable->closing || durable->abandoned) && durable->over && told;
}
