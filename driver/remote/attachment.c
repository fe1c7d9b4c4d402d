/* SPDX-License-Identifier: MIT */
#include "driver/remote/attachment.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/remote/channel_loop.h"
#include "driver/remote/frame_reader.h"

/* Written bytes are acknowledged at once when there are so many, else after a delay
 * (frame_reader.c). */
#define ACK_BYTES (512 * 1024)

#define UPLOAD_BYTES (64 * 1024) /* of the input, queued at once */

/* How long an agent may take to receive RELEASE; without it, it forgets the job some time later. */
#define RELEASE_MS 5000

_Static_assert((int)CHANNEL_STDOUT == (int)JOBWIRE_STDOUT &&
                   (int)CHANNEL_STDERR == (int)JOBWIRE_STDERR &&
                   (int)CHANNEL_STREAMS == (int)JOBWIRE_STREAMS,
               "a job's outputs are in the order of the channel's streams");

struct attachment {
    struct job_state *job;
    struct channel_loop loop;
    struct frame_reader reader;
    struct buffer outgoing;
    size_t outgoing_sent;
    size_t input_sent; /* of the request's input */
    bool releasing;
    int64_t release_ms; /* how long the agent may take to receive RELEASE */
};

static void queue(struct attachment *attachment, const struct jobwire_frame *frame)
{
    if (jobwire_encode(frame, &attachment->outgoing) < 0) {
        struct error *err = channel_loop_fail(&attachment->loop);
        if (frame->length > JOBWIRE_COMMAND_BYTES) { /* only as text for an older agent */
            (void)error_set(err, ERROR_USAGE, 0, "the task's agent accepts commands of %d KiB",
                            JOBWIRE_COMMAND_BYTES / 1024);
            (void)error_hint(err, "shorten the command, or update berth-agent in the image");
        } else {
            (void)error_set(err, ERROR_SYSTEM, 0, "cannot send to the task: out of memory");
        }
    }
}

static void queue_attach(struct attachment *attachment)
{
    const struct job_state *job = attachment->job;
    struct jobwire_frame frame = {.type = JOBWIRE_ATTACH};
    memcpy(frame.id, job->id, sizeof(frame.id));
    memcpy(frame.offsets, job->written, sizeof(frame.offsets));
    if (job->progress < JOB_STARTED) { /* also when the reply to START may have been lost */
        bool words = job->request->words != NULL && !job->login_shell;
        frame.type = words ? JOBWIRE_RUN : JOBWIRE_START;
        frame.bytes = words ? job->request->words : job->request->command;
        frame.length = words ? job->request->words_length : strlen(frame.bytes);
        attachment->reader.uploading = true;
        attachment->loop.stop_allowed =
            CHANNEL_STOP_LIMIT; /* until the agent has the whole script */
    }
    queue(attachment, &frame);
}

/* Queues the next piece of the input, and after the last one its end, which starts the job. */
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
    attachment->reader.uploading = false;
    attachment->loop.stop_allowed = CHANNEL_STOP_SIGNALS;
    if (attachment->job->progress == JOB_UNSTARTED) {
        attachment->job->progress = JOB_REQUESTED;
    }
}

/* While an agent that reads slowly leaves frames unsent no other acknowledgement is queued: the
 * next one has newer offsets. */
static bool may_acknowledge(const struct attachment *attachment)
{
    return attachment->reader.unacked_bytes > 0 && attachment->job->progress == JOB_STARTED &&
           attachment->outgoing.length == 0;
}

static void queue_ack_if_due(struct attachment *attachment)
{
    struct frame_reader *reader = &attachment->reader;
    struct jobwire_frame frame = {.type = JOBWIRE_ACK};
    if (may_acknowledge(attachment) &&
        (reader->unacked_bytes >= ACK_BYTES || clock_now_ms() >= reader->ack_ms)) {
        memcpy(frame.offsets, attachment->job->written, sizeof(frame.offsets));
        queue(attachment, &frame);
        reader->unacked_bytes = 0;
    }
}

/* Sends as much as window and socket take now. What was sent is wiped: a script holds secrets. */
static void send_outgoing(struct attachment *attachment)
{
    struct buffer *outgoing = &attachment->outgoing;
    struct channel_loop *loop = &attachment->loop;
    for (;;) {
        while (attachment->reader.uploading && outgoing->length < UPLOAD_BYTES &&
               loop->failure.kind == ERROR_NONE) {
            queue_input(attachment);
        }
        if (outgoing->length == 0 || !channel_loop_takes_bytes(loop)) {
            return;
        }
        size_t left = outgoing->length - attachment->outgoing_sent;
        int sent = ssh_channel_write(loop->ssh, outgoing->bytes + attachment->outgoing_sent,
                                     (uint32_t)left);
        if (sent <= 0) {
            return; /* a key exchange, or a lost connection, which shows in the loop */
        }
        attachment->outgoing_sent += (size_t)sent;
        if ((size_t)sent == left) {
            sodium_memzero(outgoing->bytes, outgoing->length);
            buffer_clear(outgoing);
            attachment->outgoing_sent = 0;
        }
    }
}

/* --- what the loop calls --- */

static size_t receive(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                      size_t length)
{
    const struct attachment *attachment = loop->context;
    return stream == CHANNEL_STDERR || attachment->job->progress == JOB_EXITED
               ? length
               : channel_loop_offer(loop, stream, bytes, length);
}

static size_t write_frames(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                           size_t length, int *out_blocked)
{
    struct attachment *attachment = loop->context;
    (void)stream;
    size_t taken = frame_reader_take(&attachment->reader, bytes, length, out_blocked);
    if (attachment->job->progress == JOB_EXITED) {
        loop->stop_allowed = CHANNEL_STOP_OVER;
    }
    return taken;
}

static void on_stop(struct channel_loop *loop, bool unread)
{
    const struct attachment *attachment = loop->context;
    if (attachment->job->progress == JOB_UNSTARTED) {
        (void)error_set(channel_loop_fail(loop), ERROR_SYSTEM, 0, "stopped by a signal");
        loop->failure.errnum = EINTR;
        return;
    }
    attachment->job->outcome.cancelled = !unread;
}

static void send_signal(struct channel_loop *loop, const char *name)
{
    struct jobwire_frame frame = {.type = JOBWIRE_SIGNAL, .bytes = name, .length = strlen(name)};
    queue(loop->context, &frame);
}

/* A job whose output is blocked cannot report its exit; dropping the output lets it. */
static void give_up(struct channel_loop *loop)
{
    struct job_state *job = ((struct attachment *)loop->context)->job;
    bool over = clock_now_ms() >= stop_sequence_limit_ms(&job->stop);
    if (over || job->discarding || !channel_loop_holds_output(loop)) {
        (void)error_set(channel_loop_fail(loop), ERROR_SYSTEM, 0,
                        "the task at %s did not confirm that the job exited after SIGTERM and "
                        "SIGKILL",
                        loop->connection->name);
        return;
    }
    job->discarding = true;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (job->outputs[stream].blocked) {
            job->outputs[stream].failed_errno = ETIMEDOUT;
        }
    }
    stop_sequence_extend(&job->stop, clock_now_ms());
}

static int64_t deadline_ms(const struct channel_loop *loop)
{
    const struct attachment *attachment = loop->context;
    int64_t ack_ms = may_acknowledge(attachment) ? attachment->reader.ack_ms : CLOCK_NEVER;
    return attachment->releasing ? clock_earlier_ms(ack_ms, attachment->release_ms) : ack_ms;
}

static enum channel_end turn(struct channel_loop *loop, struct error *err)
{
    struct attachment *attachment = loop->context;
    if (attachment->job->progress != JOB_EXITED) {
        queue_ack_if_due(attachment);
    } else if (!attachment->releasing) {
        struct jobwire_frame release = {.type = JOBWIRE_RELEASE};
        queue(attachment, &release);
        attachment->releasing = true;
        attachment->release_ms = clock_deadline_ms(RELEASE_MS);
    }
    send_outgoing(attachment);
    if (attachment->releasing) {
        bool sent = attachment->outgoing.length == 0 &&
                    (ssh_get_poll_flags(loop->connection->session) & SSH_WRITE_PENDING) == 0;
        return sent || clock_now_ms() >= attachment->release_ms ? CHANNEL_ENDED : CHANNEL_RUNNING;
    }
    if (loop->eof && !channel_loop_holds_output(loop) && ssh_connection_healthy(loop->connection)) {
        (void)error_set(err, ERROR_SYSTEM, 0, "the task closed the job's channel");
        return CHANNEL_LOST;
    }
    return CHANNEL_RUNNING;
}

static const struct channel_operations operations = {
    .receive = receive,
    .write = write_frames,
    .turn = turn,
    .on_stop = on_stop,
    .send_signal = send_signal,
    .give_up = give_up,
    .deadline_ms = deadline_ms,
};

static enum attachment_result run(struct attachment *attachment, struct error *err)
{
    struct job_state *job = attachment->job;
    struct channel_loop *loop = &attachment->loop;
    int64_t start_ms = clock_earlier_ms(clock_deadline_ms(job->request->start_ms),
                                        stop_sequence_limit_ms(&job->stop));
    if (channel_loop_open(loop, err) < 0) {
        return ATTACHMENT_FAILED;
    }
    if (channel_loop_do(loop, channel_loop_open_session, NULL, start_ms, err) != 0) {
        return ATTACHMENT_LOST;
    }
    int refused =
        channel_loop_do(loop, channel_loop_request_subsystem, JOBWIRE_SUBSYSTEM, start_ms, err);
    if (refused != 0) {
        return refused == 1 ? ATTACHMENT_UNSUPPORTED : ATTACHMENT_LOST;
    }
    queue_attach(attachment);
    switch (channel_loop_run(loop, err)) {
    case CHANNEL_ENDED:
        return ATTACHMENT_ENDED;
    case CHANNEL_LOST: /* the result is complete; without RELEASE the agent forgets the job by
                          itself */
        return job->progress == JOB_EXITED ? ATTACHMENT_ENDED : ATTACHMENT_LOST;
    case CHANNEL_RUNNING:
    case CHANNEL_FAILED:
        break;
    }
    return ATTACHMENT_FAILED;
}

enum attachment_result attachment_run(struct job_state *job, struct ssh_connection *connection,
                                      struct error *err)
{
    struct attachment attachment = {
        .job = job,
        .loop =
            {
                .connection = connection,
                .operations = &operations,
                .context = &attachment,
                .signals = job->request->signals,
                .stop = &job->stop,
                .outputs = job->outputs,
                .streams = 1,
                .keepalive_ms = job->request->keepalive_ms,
                .polls = {{.fd = -1}, {.fd = -1}},
            },
        .reader = {.job = job, .peer = connection->name, .failure = &attachment.loop.failure},
    };
    frame_reader_init(&attachment.reader);
    buffer_init(&attachment.outgoing, JOBWIRE_COMMAND_BYTES + (size_t)4 * UPLOAD_BYTES);
    job->attached = false;
    stop_sequence_new_connection(&job->stop);
    enum attachment_result result = run(&attachment, err);
    channel_loop_close(&attachment.loop);
    buffer_done(&attachment.outgoing);
    frame_reader_done(&attachment.reader);
    return result;
}
