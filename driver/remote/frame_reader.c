/* SPDX-License-Identifier: MIT */
#include "driver/remote/frame_reader.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* Written output is acknowledged after this time at the latest: soon enough for an agent with a
 * small spool to go on, seldom enough to cost nothing. */
#define ACK_DELAY_MS 20

#define NOTICES 16 /* logged at most: the agent must not fill the job's log */

static bool has_failed(const struct frame_reader *reader)
{
    return reader->failure->kind != ERROR_NONE;
}

/* Where an error goes: the first one counts. */
static struct error *fail(struct frame_reader *reader)
{
    return has_failed(reader) ? NULL : reader->failure;
}

static void out_of_place(struct frame_reader *reader)
{
    (void)error_set(fail(reader), ERROR_PEER, 0, "the task's agent sent an unexpected frame");
}

/* The sign that the job's shell prints; NULL: it runs without a shell, or prints none. */
static struct begin_sign *sign_of(const struct job_state *job)
{
    const struct ssh_request *request = job->request;
    return request->direct && !job->login_shell ? NULL : request->sign;
}

/* Writes a piece of output. Returns how many of its bytes could not be written now. */
static size_t write_piece(struct frame_reader *reader, const struct jobwire_frame *piece,
                          int *out_blocked)
{
    struct job_state *job = reader->job;
    if (!job->attached) {
        out_of_place(reader);
        return 0;
    }
    if (piece->offsets[0] != job->written[piece->number]) {
        (void)error_set(fail(reader), ERROR_PEER, 0, "the task's agent sent output out of order");
        return 0;
    }
    *out_blocked = (int)piece->number;
    struct begin_sign *sign = piece->number == JOBWIRE_STDOUT ? sign_of(job) : NULL;
    size_t taken =
        sign == NULL
            ? output_write(&job->outputs[piece->number], piece->bytes, piece->length)
            : begin_sign_take(sign, piece->bytes, piece->length, job->outputs, out_blocked);
    job->written[piece->number] += taken;
    if (reader->unacked_bytes == 0) {
        reader->ack_ms = clock_deadline_ms(ACK_DELAY_MS);
    }
    reader->unacked_bytes += taken;
    return piece->length - taken;
}

/* Valid once for each connection, after the whole script was sent. STARTED answers only START and
 * RUN: for a job that already runs it would mean that its script runs a second time. */
static void on_attached(struct frame_reader *reader, const struct jobwire_frame *frame)
{
    struct job_state *job = reader->job;
    bool again = frame->type == JOBWIRE_STARTED && job->progress >= JOB_STARTED;
    if (job->attached || reader->uploading || again) {
        out_of_place(reader);
        return;
    }
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (job->written[stream] == JOBWIRE_OLDEST) {
            job->written[stream] = frame->offsets[stream];
        } else if (job->written[stream] != frame->offsets[stream]) {
            (void)error_set(fail(reader), ERROR_PEER, 0,
                            "the task's agent resumed the output at another offset than requested");
            return;
        }
    }
    job->attached = true;
    job->attached_ms = clock_now_ms();
    if (job->progress < JOB_STARTED) {
        job->progress = JOB_STARTED;
    }
}

/* Counts what the command has written, without the signs. */
static uint64_t output_bytes(const struct job_state *job)
{
    uint64_t bytes = job->written[JOBWIRE_STDOUT] + job->written[JOBWIRE_STDERR];
    uint64_t signs = 0;
    if (sign_of(job) != NULL && !job->outcome.unbegun) {
        signs = (uint64_t)(BEGIN_SIGN_SEEN - sign_of(job)->first) * BEGIN_SIGN_BYTES;
    }
    return bytes > signs ? bytes - signs : 0;
}

static void on_exit_report(struct frame_reader *reader, const struct jobwire_frame *frame)
{
    struct job_state *job = reader->job;
    if (!job->attached) {
        out_of_place(reader);
        return;
    }
    if (memcmp(frame->offsets, job->written, sizeof(job->written)) != 0) {
        (void)error_set(fail(reader), ERROR_PEER, 0,
                        "the job exited, but some of its output is missing");
        return;
    }
    job->progress = JOB_EXITED;
    job->outcome.unbegun = sign_of(job) != NULL && !begin_sign_end(sign_of(job), job->outputs);
    job->outcome.status = (int)frame->number;
    (void)snprintf(job->outcome.signal, sizeof(job->outcome.signal), "%.*s", (int)frame->length,
                   frame->bytes);
    job->outcome.usage = frame->usage;
    job->outcome.usage_known = true;
    job->outcome.output_bytes = output_bytes(job);
}

/* Text of the agent for people, such as a shutdown of the task. */
static void on_notice(struct frame_reader *reader, const struct jobwire_frame *frame)
{
    struct job_state *job = reader->job;
    if (frame->number == JOBWIRE_NOTICE_SHUTDOWN) {
        job->outcome.task_stopping = true;
    }
    if (job->notices++ < NOTICES) {
        log_warn("task at %s: %.*s", reader->peer, (int)frame->length, frame->bytes);
    }
}

static void on_refused(struct frame_reader *reader, const struct jobwire_frame *frame)
{
    static const struct {
        enum error_kind kind;
        const char *text;
    } rows[] = {
        [JOBWIRE_REFUSED_PROTOCOL] = {ERROR_PEER,
                                      "the driver and the task's agent use different protocols"},
        [JOBWIRE_REFUSED_UNKNOWN_JOB] =
            {ERROR_SYSTEM, "the task's agent no longer has the job: the agent was restarted, or no "
                           "driver attached within its --detach-timeout, which must be longer than "
                           "[SSH] ReattachTimeout"},
        [JOBWIRE_REFUSED_BYTES_GONE] = {ERROR_SYSTEM, "a part of the job's output was lost"},
        [JOBWIRE_REFUSED_REPLACED] = {ERROR_SYSTEM, "another driver attached to the job"},
        [JOBWIRE_REFUSED_START] = {ERROR_SYSTEM, "the task's agent cannot start the job"},
        [JOBWIRE_REFUSED_PERMANENT] =
            {ERROR_BUILD, "the job's script cannot run in its image; a retry cannot fix it"},
        [JOBWIRE_REFUSED_LOST] =
            {ERROR_SYSTEM, "the job's monitor process in the task was killed, and the job with it"},
    };
    bool known = frame->number > 0 && frame->number < sizeof(rows) / sizeof(rows[0]);
    reader->job->refusal = known ? (enum jobwire_refusal)frame->number : 0;
    (void)error_set(fail(reader), known ? rows[frame->number].kind : ERROR_PEER, 0,
                    "%s (task at %s: %.*s)",
                    known ? rows[frame->number].text : "the task's agent refused the job",
                    reader->peer, (int)frame->length, frame->bytes);
}

static void on_frame(struct frame_reader *reader, const struct jobwire_frame *frame)
{
    switch (frame->type) {
    case JOBWIRE_STARTED:
    case JOBWIRE_ATTACHED:
        on_attached(reader, frame);
        break;
    case JOBWIRE_EXIT:
        on_exit_report(reader, frame);
        break;
    default:
        out_of_place(reader);
        break;
    case JOBWIRE_NOTICE:
        on_notice(reader, frame);
        break;
    case JOBWIRE_REFUSED:
        on_refused(reader, frame);
        break;
    }
}

void frame_reader_init(struct frame_reader *reader)
{
    jobwire_decoder_init(&reader->decoder);
    reader->decoder.pieces = true;
}

void frame_reader_done(struct frame_reader *reader)
{
    jobwire_decoder_done(&reader->decoder);
}

size_t frame_reader_take(struct frame_reader *reader, const char *bytes, size_t length,
                         int *out_blocked)
{
    struct jobwire_frame frame;
    size_t left = length;
    while (!has_failed(reader) && reader->job->progress != JOB_EXITED) {
        switch (jobwire_decode(&reader->decoder, &bytes, &left, &frame)) {
        case JOBWIRE_MORE:
            return length;
        case JOBWIRE_BROKEN:
            (void)error_set(fail(reader), ERROR_PEER, 0, "the task's agent sent a malformed frame");
            break;
        case JOBWIRE_FRAME:
            if (frame.type == JOBWIRE_OUTPUT) {
                size_t unwritten = write_piece(reader, &frame, out_blocked);
                if (unwritten > 0) {
                    jobwire_take_back(&reader->decoder, unwritten, &bytes, &left);
                    return length - left;
                }
            } else {
                on_frame(reader, &frame);
            }
            break;
        }
    }
    return length;
}
