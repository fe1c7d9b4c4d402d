/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/attachment_private.h"

/* Written output is acknowledged at the latest after so long: soon enough for an agent with a small
 * spool to go on, seldom enough to cost nothing. */
#define ATTACHMENT_ACK_MS 20

void attachment_fail(struct attachment *attachment, enum error_kind kind, const char *format, ...)
{
    char text[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!attachment->failed) {
        attachment->failed = true;
        (void)error_set(attachment->err, kind, 0, "%s", text);
    }
}

/* Writes a piece of output. False: not all of it was taken, the rest is given back. */
static bool write_piece(struct attachment *attachment, const struct jobwire_frame *piece,
                        const char **bytes, size_t *length)
{
    struct durable_job *job = attachment->job;
    struct output *output = &job->outputs[piece->number];
    if (piece->offsets[0] != job->written[piece->number]) {
        attachment_fail(attachment, ERROR_PEER, "the task's agent sent output out of order");
        return true;
    }
    size_t taken = output_write(output, piece->bytes, piece->length);
    job->written[piece->number] += taken;
    if (attachment->unacked_bytes == 0) {
        attachment->ack_ms = clock_deadline_ms(ATTACHMENT_ACK_MS);
    }
    attachment->unacked_bytes += taken;
    if (taken < piece->length) {
        jobwire_take_back(&attachment->decoder, piece->length - taken, bytes, length);
        attachment->blocked = (int)piece->number;
        return false;
    }
    return true;
}

static void on_attached(struct attachment *attachment, const struct jobwire_frame *frame)
{
    struct durable_job *job = attachment->job;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (job->written[stream] == JOBWIRE_OLDEST) {
            job->written[stream] = frame->offsets[stream];
        } else if (job->written[stream] != frame->offsets[stream]) {
            attachment_fail(attachment, ERROR_PEER,
                            "the task's agent goes on at another byte than asked for");
            return;
        }
    }
    job->attached = true;
    job->attached_ms = clock_now_ms();
    if (job->progress < DURABLE_STARTED) {
        job->progress = DURABLE_STARTED;
    }
}

static void on_exit_report(struct attachment *attachment, const struct jobwire_frame *frame)
{
    struct durable_job *job = attachment->job;
    if (memcmp(frame->offsets, job->written, sizeof(job->written)) != 0) {
        attachment_fail(attachment, ERROR_PEER,
                        "the job ended, but some of its output did not arrive");
        return;
    }
    job->progress = DURABLE_EXITED;
    job->outcome.status = (int)frame->number;
    (void)snprintf(job->outcome.signal, sizeof(job->outcome.signal), "%.*s", (int)frame->length,
                   frame->bytes);
    job->outcome.usage = frame->usage;
    job->outcome.usage_known = true;
}

/* The agent's own words are for the log: they end with what it saw. */
static void on_notice(struct attachment *attachment, const struct jobwire_frame *frame)
{
    struct durable_job *job = attachment->job;
    if (frame->number == JOBWIRE_NOTICE_SHUTDOWN) {
        job->outcome.task_stopping = true;
    }
    log_warn("task at %s: %.*s", attachment->link->name, (int)frame->length, frame->bytes);
}

static void on_refused(struct attachment *attachment, const struct jobwire_frame *frame)
{
    static const struct {
        enum error_kind kind;
        const char *text;
    } rows[] = {
        [JOBWIRE_REFUSED_PROTOCOL] = {ERROR_PEER, "driver and agent do not understand each other"},
        [JOBWIRE_REFUSED_UNKNOWN_JOB] =
            {ERROR_SYSTEM, "the task's agent does not know the job any more; it was started anew, "
                           "or nobody attached within its --detach-timeout, which must be longer "
                           "than [SSH] ReattachTimeout"},
        [JOBWIRE_REFUSED_BYTES_GONE] = {ERROR_SYSTEM, "a part of the job's output is lost"},
        [JOBWIRE_REFUSED_REPLACED] = {ERROR_SYSTEM, "another driver took the job over"},
        [JOBWIRE_REFUSED_START] = {ERROR_SYSTEM, "the task's agent cannot start the job"},
        [JOBWIRE_REFUSED_FOR_GOOD] = {ERROR_BUILD, "the job's script cannot run in its image, "
                                                   "which no retry can change"},
        [JOBWIRE_REFUSED_LOST] = {ERROR_SYSTEM, "the process in the task that watched over the "
                                                "job was killed, and the job was ended with it"},
    };
    bool known = frame->number > 0 && frame->number < sizeof(rows) / sizeof(rows[0]);
    attachment->job->refusal = known ? (enum jobwire_refusal)frame->number : 0;
    attachment_fail(attachment, known ? rows[frame->number].kind : ERROR_PEER,
                    "%s (task at %s: %.*s)",
                    known ? rows[frame->number].text : "the task's agent refuses the job",
                    attachment->link->name, (int)frame->length, frame->bytes);
}

static void on_frame(struct attachment *attachment, const struct jobwire_frame *frame)
{
    bool attached = attachment->job->attached;
    switch (frame->type) {
    case JOBWIRE_STARTED:
    case JOBWIRE_ATTACHED:
        on_attached(attachment, frame);
        break;
    case JOBWIRE_EXIT:
        if (attached) {
            on_exit_report(attachment, frame);
            break;
        }
        __attribute__((fallthrough));
    default:
        attachment_fail(attachment, ERROR_PEER,
                        "the task's agent sent a frame that is out of place");
        break;
    case JOBWIRE_NOTICE:
        on_notice(attachment, frame);
        break;
    case JOBWIRE_REFUSED:
        on_refused(attachment, frame);
        break;
    }
}

size_t attachment_take(void *context, const char *bytes, size_t length)
{
    struct attachment *attachment = context;
    struct jobwire_frame frame;
    size_t left = length;
    attachment->blocked = ATTACHMENT_NONE;
    while (!attachment->failed) {
        switch (jobwire_decode(&attachment->decoder, &bytes, &left, &frame)) {
        case JOBWIRE_MORE:
            return length;
        case JOBWIRE_BROKEN:
            attachment_fail(attachment, ERROR_PEER,
                            "the task's agent sent a frame that is malformed");
            break;
        case JOBWIRE_FRAME:
            if (frame.type != JOBWIRE_OUTPUT) {
                on_frame(attachment, &frame);
            } else if (!write_piece(attachment, &frame, &bytes, &left)) {
                return length - left;
            }
            break;
        }
    }
    return length;
}
