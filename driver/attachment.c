/* SPDX-License-Identifier: MIT */
#include "driver/attachment.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "driver/attachment_private.h"

/* Acknowledged without waiting for a pause (attachment_frames.c). */
#define ACK_BYTES (512 * 1024)

#define UPLOAD_BYTES (64 * 1024) /* of the input, on its way at once */

/* --- the job over all links --- */

void durable_job_init(struct durable_job *job, const struct ssh_request *request)
{
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
    unsigned char random[JOBWIRE_ID_BYTES / 2];
    *job = (struct durable_job){.request = request};
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(job->id, sizeof(job->id), random, sizeof(random));
    stop_init(&job->stop, request->grace_ms);
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        output_open(&job->outputs[stream], fds[stream]);
    }
}

void durable_job_init_leftover(struct durable_job *job, const struct ssh_request *request,
                               const char *id)
{
    *job = (struct durable_job){.request = request,
                                .progress = DURABLE_STARTED,
                                .written = {JOBWIRE_OLDEST, JOBWIRE_OLDEST},
                                .discarding = true};
    (void)snprintf(job->id, sizeof(job->id), "%s", id);
    stop_init(&job->stop, request->grace_ms);
    stop_ask(&job->stop, clock_now_ms());
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        job->outputs[stream] = (struct output){.fd = -1, .failed_errno = EPIPE};
    }
}

void durable_job_done(struct durable_job *job)
{
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        output_done(&job->outputs[stream]);
    }
}

static int on_data(ssh_session session, ssh_channel channel, void *bytes, uint32_t length,
                   int is_stderr, void *userdata)
{
    (void)session;
    (void)channel;
    struct attachment *attachment = userdata;
    return is_stderr ? (int)length : inflow_offer(&attachment->inflow, bytes, length);
}

static void on_end(ssh_session session, ssh_channel channel, void *userdata)
{
    (void)session;
    (void)channel;
    ((struct attachment *)userdata)->ended = true;
}

/* --- to the agent --- */

static void queue(struct attachment *attachment, const struct jobwire_frame *frame)
{
    if (jobwire_encode(frame, &attachment->outgoing) < 0) {
        attachment_fail(attachment, ERROR_SYSTEM,
                        "cannot tell the task about the job: out of memory");
    }
}

static void queue_signal(struct attachment *attachment, const char *name)
{
    struct jobwire_frame frame = {.type = JOBWIRE_SIGNAL, .bytes = name, .length = strlen(name)};
    queue(attachment, &frame);
}

static void queue_introduction(struct attachment *attachment)
{
    const struct durable_job *job = attachment->job;
    struct jobwire_frame frame = {.type = JOBWIRE_ATTACH};
    memcpy(frame.id, job->id, sizeof(frame.id));
    memcpy(frame.offsets, job->written, sizeof(frame.offsets));
    if (job->progress < DURABLE_STARTED) { /* also when an answer to START may have been lost */
        frame.type = JOBWIRE_START;
        frame.bytes = job->request->command;
        frame.length = strlen(frame.bytes);
        attachment->uploading = true;
    }
    queue(attachment, &frame);
}

/* The next piece of the input, and after the last one its end, with which the job starts. */
static void queue_input(struct attachment *attachment)
{
    const struct ssh_request *request = attachment->job->request;
    size_t left = request->input_length - attachment->input_sent;
    struct jobwire_frame frame = {.type = JOBWIRE_INPUT,
                                  .bytes = (const char *)request->input + attachment->input_sent,
                                  .length =
                                      left < JOBWIRE_INPUT_BYTES ? left : JOBWIRE_INPUT_BYTES};
    if (left > 0) {
        queue(attachment, &frame);
        attachment->input_sent += frame.length;
        return;
    }
    struct jobwire_frame end = {.type = JOBWIRE_INPUT_END, .offsets = {request->input_length}};
    queue(attachment, &end);
    attachment->uploading = false;
    if (attachment->job->progress == DURABLE_UNSTARTED) {
        attachment->job->progress = DURABLE_ASKED;
    }
}

static void queue_ack(struct attachment *attachment)
{
    struct jobwire_frame frame = {.type = JOBWIRE_ACK};
    memcpy(frame.offsets, attachment->job->written, sizeof(frame.offsets));
    queue(attachment, &frame);
    attachment->unacked_bytes = 0;
}

static bool ack_is_due(const struct attachment *attachment)
{
    return attachment->unacked_bytes > 0 && attachment->job->progress == DURABLE_STARTED &&
           (attachment->unacked_bytes >= ACK_BYTES || clock_now_ms() >= attachment->ack_ms);
}

/* The queue may hold the script, which holds secrets. */
static void forget_sent(struct attachment *attachment)
{
    if (attachment->outgoing.bytes != NULL) {
        sodium_memzero(attachment->outgoing.bytes, attachment->outgoing.length);
    }
    buffer_clear(&attachment->outgoing);
    attachment->outgoing_sent = 0;
}

/* Sends as much as window and socket take now. */
static void send_outgoing(struct attachment *attachment)
{
    struct buffer *outgoing = &attachment->outgoing;
    for (;;) {
        while (attachment->uploading && outgoing->length < UPLOAD_BYTES && !attachment->failed) {
            queue_input(attachment);
        }
        if (outgoing->length == 0 || !link_takes_bytes(attachment->link, attachment->channel)) {
            return;
        }
        size_t left = outgoing->length - attachment->outgoing_sent;
        int sent = ssh_channel_write(attachment->channel,
                                     outgoing->bytes + attachment->outgoing_sent, (uint32_t)left);
        if (sent <= 0) {
            return; /* a key exchange, or a dead link, which shows in the loop */
        }
        attachment->outgoing_sent += (size_t)sent;
        if ((size_t)sent == left) {
            forget_sent(attachment);
        }
    }
}

/* --- the loop --- */

/* Nobody reads what the job wrote, so its end is never reported: what is left is dropped. */
static void discard_output(struct durable_job *job)
{
    job->discarding = true;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (job->outputs[stream].blocked) {
            job->outputs[stream].failed_errno = ETIMEDOUT;
        }
    }
    stop_extend(&job->stop, clock_now_ms());
}

static void on_give_up(struct attachment *attachment)
{
    struct durable_job *job = attachment->job;
    if (attachment->blocked != ATTACHMENT_NONE && !job->discarding) {
        discard_output(job);
    } else {
        attachment_fail(
            attachment, ERROR_SYSTEM,
            "the job was told to stop and then killed, but the task at %s did not confirm its end",
            attachment->link->name);
    }
}

/* A request to stop, and an output that nobody reads any more, end the job. */
static void check_stop(struct attachment *attachment)
{
    struct durable_job *job = attachment->job;
    struct signals *signals = job->request->signals;
    bool unread = job->outputs[JOBWIRE_STDOUT].failed_errno != 0;
    if (!job->stop.asked && (unread || signals_pending(signals))) {
        if (job->progress == DURABLE_UNSTARTED) {
            attachment_fail(attachment, ERROR_SYSTEM, "stopped by a signal");
            attachment->err->errnum = EINTR;
            return;
        }
        job->outcome.cancelled = !unread;
        if (signals != NULL) {
            signals_acknowledge(signals);
        }
        stop_ask(&job->stop, clock_now_ms());
    }
    if (attachment->uploading || job->progress == DURABLE_EXITED) {
        return; /* signals come behind what names the job */
    }
    switch (stop_next(&job->stop, clock_now_ms())) {
    case STOP_TERM:
        queue_signal(attachment, "TERM");
        break;
    case STOP_KILL:
        queue_signal(attachment, "KILL");
        break;
    case STOP_GIVE_UP:
        on_give_up(attachment);
        break;
    case STOP_NOTHING:
        break;
    }
}

static int64_t next_deadline(const struct attachment *attachment)
{
    int64_t deadline_ms = keepalive_deadline_ms(&attachment->keepalive);
    if (attachment->unacked_bytes > 0) {
        deadline_ms = clock_earlier_ms(deadline_ms, attachment->ack_ms);
    }
    return attachment->uploading
               ? deadline_ms
               : clock_earlier_ms(deadline_ms, stop_deadline_ms(&attachment->job->stop));
}

static void wait_and_dispatch(struct attachment *attachment)
{
    ssh_session session = attachment->link->session;
    struct signals *signals = attachment->job->request->signals;
    bool writing = (ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0;
    int blocked_fd = attachment->blocked == ATTACHMENT_NONE
                         ? -1
                         : attachment->job->outputs[attachment->blocked].fd;
    int64_t pause_ms = inflow_pause_ms(&attachment->inflow);
    struct pollfd entries[] = {
        {.fd = pause_ms == CLOCK_NEVER ? ssh_get_fd(session) : -1,
         .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        {.fd = signals == NULL || signals->acknowledged ? -1 : signals->fd, .events = POLLIN},
        {.fd = blocked_fd, .events = POLLOUT},
    };
    if (poll(entries, sizeof(entries) / sizeof(entries[0]),
             clock_poll_timeout(clock_earlier_ms(pause_ms, next_deadline(attachment)))) < 0 &&
        errno != EINTR) {
        attachment_fail(attachment, ERROR_SYSTEM, "cannot wait for the job: %s", strerror(errno));
    }
    if (entries[0].revents != 0) {
        (void)ssh_event_dopoll(attachment->event, 0); /* its result does not tell a dead link */
    }
    if (attachment->inflow.held && (attachment->blocked == ATTACHMENT_NONE ||
                                    entries[2].revents != 0 || attachment->job->discarding)) {
        (void)inflow_flush(&attachment->inflow); /* a dead link shows in the loop */
    }
}

/* The last word is on its way to the agent as far as we can see. */
static bool said_all(const struct attachment *attachment)
{
    return attachment->outgoing.length == 0 &&
           (ssh_get_poll_flags(attachment->link->session) & SSH_WRITE_PENDING) == 0;
}

static bool is_lost(struct attachment *attachment)
{
    if (!ssh_link_healthy(attachment->link)) {
        const char *why = ssh_get_error(attachment->link->session);
        (void)error_set(attachment->err, ERROR_SYSTEM, 0, "%s",
                        why[0] != '\0' ? why : "the connection was closed");
        return true;
    }
    if (attachment->ended && !attachment->inflow.held) {
        (void)error_set(attachment->err, ERROR_SYSTEM, 0, "the task closed the job's channel");
        return true;
    }
    return keepalive_check(&attachment->keepalive, attachment->err) < 0;
}

static enum attachment_result follow(struct attachment *attachment)
{
    struct durable_job *job = attachment->job;
    bool releasing = false;
    for (;;) {
        check_stop(attachment);
        if (job->progress == DURABLE_EXITED && !releasing) {
            struct jobwire_frame release = {.type = JOBWIRE_RELEASE};
            queue(attachment, &release);
            releasing = true;
        } else if (ack_is_due(attachment)) {
            queue_ack(attachment);
        }
        send_outgoing(attachment);
        if (attachment->failed) {
            return ATTACHMENT_FAILED;
        }
        if (releasing && said_all(attachment)) {
            return ATTACHMENT_ENDED;
        }
        if (is_lost(attachment)) { /* the result is here: the agent forgets the job by itself */
            return releasing ? ATTACHMENT_ENDED : ATTACHMENT_LOST;
        }
        wait_and_dispatch(attachment);
    }
}

static int ask_for_subsystem(ssh_channel channel, const void *context)
{
    return ssh_channel_request_subsystem(channel, context);
}

static enum attachment_result begin(struct attachment *attachment)
{
    struct durable_job *job = attachment->job;
    struct signals *signals = job->request->signals;
    int64_t deadline_ms = clock_deadline_ms(job->request->start_ms);
    if (link_do(attachment->link, attachment->channel, link_open_session, NULL, signals,
                deadline_ms, attachment->err) < 0) {
        return ATTACHMENT_LOST;
    }
    if (link_do(attachment->link, attachment->channel, ask_for_subsystem, JOBWIRE_SUBSYSTEM,
                signals, deadline_ms, attachment->err) < 0) {
        bool refused = attachment->err->kind == ERROR_PEER && ssh_link_healthy(attachment->link);
        return refused ? ATTACHMENT_UNSUPPORTED : ATTACHMENT_LOST;
    }
    queue_introduction(attachment);
    return ATTACHMENT_ENDED;
}

/* With the callbacks in place, which must go before 'attachment' does. */
static enum attachment_result run_with_callbacks(struct attachment *attachment)
{
    struct ssh_channel_callbacks_struct callbacks = {
        .userdata = attachment,
        .channel_data_function = on_data,
        .channel_eof_function = on_end,
        .channel_close_function = on_end,
    };
    ssh_callbacks_init(&callbacks);
    if (ssh_set_channel_callbacks(attachment->channel, &callbacks) != SSH_OK) {
        attachment_fail(attachment, ERROR_SYSTEM, "%s", ssh_get_error(attachment->link->session));
        return ATTACHMENT_FAILED;
    }
    enum attachment_result result = begin(attachment);
    if (result == ATTACHMENT_ENDED) {
        if (ssh_event_add_session(attachment->event, attachment->link->session) == SSH_OK) {
            result = follow(attachment);
            (void)ssh_event_remove_session(attachment->event, attachment->link->session);
        } else {
            attachment_fail(attachment, ERROR_SYSTEM, "cannot watch the connection");
            result = ATTACHMENT_FAILED;
        }
    }
    (void)ssh_remove_channel_callbacks(attachment->channel, &callbacks);
    return result;
}

enum attachment_result attachment_run(struct durable_job *job, struct ssh_link *link,
                                      struct error *err)
{
    struct attachment attachment = {.job = job,
                                    .link = link,
                                    .channel = ssh_channel_new(link->session),
                                    .event = ssh_event_new(),
                                    .blocked = ATTACHMENT_NONE,
                                    .err = err};
    enum attachment_result result = ATTACHMENT_FAILED;
    attachment.inflow.channel = attachment.channel;
    attachment.inflow.take = attachment_take;
    attachment.inflow.context = &attachment;
    jobwire_decoder_init(&attachment.decoder);
    attachment.decoder.pieces = true;
    buffer_init(&attachment.outgoing, JOBWIRE_COMMAND_BYTES + (size_t)4 * UPLOAD_BYTES);
    job->attached = false;
    stop_new_link(&job->stop);
    if (attachment.channel == NULL || attachment.event == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot reach the job");
    } else if (inflow_open(&attachment.inflow, err) == 0) {
        keepalive_begin(&attachment.keepalive, link, job->request->keepalive_ms);
        result = run_with_callbacks(&attachment);
        keepalive_end(&attachment.keepalive);
    }
    ssh_event_free(attachment.event);
    ssh_channel_free(attachment.channel);
    inflow_done(&attachment.inflow);
    forget_sent(&attachment);
    buffer_done(&attachment.outgoing);
    jobwire_decoder_done(&attachment.decoder);
    return result;
}
