/* SPDX-License-Identifier: MIT */
#include "agent/monitor/resumable.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

_Static_assert(SPOOL_STREAMS - DRAIN_STREAMS == 0, "the same streams");

static int *stream_fd(const struct resumable *resumable, int stream)
{
    return stream == 0 ? &resumable->job->stdout_fd : &resumable->job->stderr_fd;
}

int resumable_open(struct resumable *resumable, const struct agent_options *options,
                   struct job *job, int control, int session, struct error *err)
{
    *resumable = (struct resumable){.options = options,
                                    .job = job,
                                    .control = control,
                                    .session = session,
                                    .deadline_ms = CLOCK_NEVER};
    return spool_open(&resumable->spool, options->spool_limit_bytes, options->spool_directory, err);
}

void resumable_close(struct resumable *resumable)
{
    spool_close(&resumable->spool);
    cleanup_fd_fn(&resumable->control);
    cleanup_fd_fn(&resumable->session);
}

/* The session has output left to send. Meanwhile larger pieces collect in the pipe. */
static bool session_is_behind(const struct resumable *resumable)
{
    uint64_t read_bytes = resumable->spool.head[0] + resumable->spool.head[1];
    return resumable->session >= 0 && read_bytes >= resumable->sent + LIMIT_AHEAD_BYTES &&
           clock_now_ms() < resumable->behind_until_ms;
}

static void detach(struct resumable *resumable)
{
    cleanup_fd_fn(&resumable->session);
    resumable->deadline_ms = clock_deadline_ms(resumable->options->detach_timeout_ms);
    if (!resumable->released && !resumable->closing) {
        log_info("job %d: detached, waiting %.0f s for a client to attach",
                 (int)resumable->job->pid, (double)resumable->options->detach_timeout_ms / 1000.0);
    }
}

/* A session that has exited may have sent a signal or the release before: on_session() reads those,
 * then finds the end. */
static void on_send_failed(struct resumable *resumable)
{
    if (errno != EPIPE && errno != ECONNRESET) {
        detach(resumable);
    }
}

/* A message that the socket does not take is not queued: a later one has newer offsets. */
static void notify(struct resumable *resumable)
{
    struct wire_message message = {.type = WIRE_JOB_OUTPUT};
    if (resumable->over) {
        message = resumable->result;
    }
    if (resumable->session < 0 || !resumable->notify_pending) {
        return;
    }
    message.offsets[0] = (int64_t)resumable->spool.head[0];
    message.offsets[1] = (int64_t)resumable->spool.head[1];
    if (wire_send(resumable->session, &message, NULL, 0) == 0) {
        resumable->notify_pending = false;
    } else if (errno != EAGAIN && errno != ENOBUFS) {
        on_send_failed(resumable);
    }
}

static void send_attach(struct resumable *resumable, int type)
{
    struct wire_message message = {.type = type, .number = resumable->job->pid};
    message.offsets[0] = (int64_t)resumable->spool.tail[0];
    message.offsets[1] = (int64_t)resumable->spool.tail[1];
    resumable->sent = resumable->spool.tail[0] + resumable->spool.tail[1];
    resumable->notify_pending = true;
    if (wire_send(resumable->session, &message, &resumable->spool.reader_fd, 1) < 0) {
        on_send_failed(resumable);
    }
}

void resumable_started(struct resumable *resumable)
{
    send_attach(resumable, WIRE_JOB_STARTED);
}

void resumable_shut_down(struct resumable *resumable)
{
    resumable->closing = true;
}

static void attach(struct resumable *resumable, int session)
{
    if (resumable->session >= 0) {
        struct wire_message message = {.type = WIRE_JOB_REPLACED};
        (void)wire_send(resumable->session, &message, NULL, 0); /* it has probably exited */
        cleanup_fd_fn(&resumable->session);
    }
    log_info("job %d: attached", (int)resumable->job->pid);
    resumable->session = session;
    resumable->deadline_ms = CLOCK_NEVER;
    send_attach(resumable, WIRE_JOB_ATTACHED);
}

static void acknowledge(struct resumable *resumable, const struct wire_message *message)
{
    resumable->sent = (uint64_t)message->sent[0] + (uint64_t)message->sent[1];
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        spool_release(&resumable->spool, stream, (uint64_t)message->offsets[stream]);
    }
    resumable->full = false;
}

static void on_session(struct resumable *resumable, void (*on_signal)(void *, int), void *context)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    while (resumable->session >= 0) {
        enum wire_result result = wire_receive(resumable->session, &message, fds);
        if (result == WIRE_NOTHING) {
            return;
        }
        if (result == WIRE_CLOSED) {
            detach(resumable);
            return;
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
        if (message.type == WIRE_JOB_SIGNAL) {
            on_signal(context, message.number);
        } else if (message.type == WIRE_JOB_ACK) {
            acknowledge(resumable, &message);
        } else if (message.type == WIRE_JOB_RELEASE && resumable->over) {
            resumable->released = true;
        }
    }
}

static void on_control(struct resumable *resumable, void (*on_signal)(void *, int), void *context)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    enum wire_result result;
    while (resumable->control >= 0 &&
           (result = wire_receive(resumable->control, &message, fds)) != WIRE_NOTHING) {
        if (result == WIRE_CLOSED) { /* init was killed, and SIGTERM is pending */
            cleanup_fd_fn(&resumable->control);
            return;
        }
        if (message.type == WIRE_JOB_ATTACH && fds[0] >= 0) {
            on_session(resumable, on_signal, context); /* messages of the old one still count */
            attach(resumable, steal_fd(&fds[0]));
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
    }
}

static void read_output(struct resumable *resumable)
{
    for (int stream = 0; stream < SPOOL_STREAMS && !resumable->over; stream++) {
        int *fd = stream_fd(resumable, stream);
        if (*fd < 0) {
            continue;
        }
        uint64_t before = resumable->spool.head[stream];
        enum spool_fill result = spool_fill(&resumable->spool, stream, *fd);
        if (result == SPOOL_ENDED) {
            cleanup_fd_fn(fd);
        } else if (result == SPOOL_FULL) {
            resumable->full = true;
        }
        if (resumable->spool.head[stream] != before) {
            drain_read(&resumable->drain, stream, resumable->spool.head[stream] - before);
            resumable->notify_pending = true;
            resumable->behind_until_ms = clock_deadline_ms(LIMIT_BEHIND_MS);
        }
    }
}

static void log_end(struct resumable *resumable)
{
    struct job_usage *usage = &resumable->result.usage;
    char who[32];
    usage->out_bytes = (int64_t)(resumable->spool.head[0] + resumable->spool.head[1]);
    (void)snprintf(who, sizeof(who), "job %d:", (int)resumable->job->pid);
    job_usage_log(who, resumable->result.number, resumable->result.ran_ms, usage);
}

static void check_end(struct resumable *resumable)
{
    int fds[] = {resumable->job->stdout_fd, resumable->job->stderr_fd};
    bool unwanted = resumable->abandoned || (resumable->closing && resumable->session < 0);
    if (!resumable->exited || resumable->over) {
        return;
    }
    /* Output that no client will read must not delay the end. */
    if (unwanted || drain_is_over(&resumable->drain, fds, false)) {
        resumable->over = true;
        resumable->notify_pending = true;
        log_end(resumable);
    }
}

/* Checks at once, since the pipes may have ended in the same round of the loop; then only the drain
 * deadline would wake this process up. */
void resumable_exited(struct resumable *resumable, const struct wire_message *result)
{
    resumable->result = *result;
    resumable->exited = true;
    drain_begin(&resumable->drain, (int[]){resumable->job->stdout_fd, resumable->job->stderr_fd},
                resumable->options->drain_ms);
    check_end(resumable);
}

void resumable_prepare(const struct resumable *resumable, struct pollfd entries[RESUMABLE_ENTRIES])
{
    bool reading = !resumable->full && !resumable->over && !session_is_behind(resumable);
    short notify = resumable->notify_pending ? POLLOUT : 0;
    entries[0] = (struct pollfd){.fd = resumable->control, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = resumable->session, .events = (short)(POLLIN | notify)};
    entries[2] = (struct pollfd){.fd = reading ? resumable->job->stdout_fd : -1, .events = POLLIN};
    entries[3] = (struct pollfd){.fd = reading ? resumable->job->stderr_fd : -1, .events = POLLIN};
}

int64_t resumable_deadline_ms(const struct resumable *resumable)
{
    int64_t drain_ms =
        resumable->exited && !resumable->over ? resumable->drain.deadline_ms : CLOCK_NEVER;
    int64_t detached_ms = resumable->abandoned ? CLOCK_NEVER : resumable->deadline_ms;
    bool waiting = !resumable->full && !resumable->over && session_is_behind(resumable);
    int64_t behind_until_ms = waiting ? resumable->behind_until_ms : CLOCK_NEVER;
    return clock_earlier_ms(clock_earlier_ms(drain_ms, detached_ms), behind_until_ms);
}

bool resumable_service(struct resumable *resumable, void (*on_signal)(void *context, int number),
                       void *context)
{
    on_control(resumable, on_signal, context);
    on_session(resumable, on_signal, context);
    if (!resumable->full && !session_is_behind(resumable)) {
        read_output(resumable);
    }
    check_end(resumable);
    notify(resumable);
    if (!resumable->abandoned && clock_now_ms() >= resumable->deadline_ms) {
        log_warn("job %d: no client attached in time, %s", (int)resumable->job->pid,
                 resumable->over ? "discarding its result" : "stopping it");
        resumable->abandoned = true;
        return false;
    }
    return true;
}

bool resumable_is_done(const struct resumable *resumable)
{
    if (resumable->released) {
        return true;
    }
    bool notified = resumable->session < 0 || !resumable->notify_pending;
    return (resumable->closing || resumable->abandoned) && resumable->over && notified;
}
