/* SPDX-License-Identifier: MIT */
/*
 * durable_channel.c - "berth-job" on one channel, from a durable job's monitor (wire.h) to the
 * client (jobwire.h): its start, what it tells and its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/session/durable_private.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/log.h"

const char *durable_channel_peer(const struct channel *channel)
{
    return channel->session->setup->peer;
}

void durable_channel_detach(struct channel *channel)
{
    channel->durable->state = ENDING;
    durable_borrow_end(channel);
    cleanup_fd_fn(&channel->job); /* detaches */
}

void durable_channel_queue(struct channel *channel, const struct jobwire_frame *frame)
{
    if (jobwire_encode(frame, &channel->durable->queued) < 0) {
        log_error("%s: channel %d: out of memory, detaching", durable_channel_peer(channel),
                  channel->number);
        durable_channel_detach(channel);
    }
}

void durable_channel_refuse(struct channel *channel, enum jobwire_refusal code, const char *text)
{
    struct jobwire_frame frame = {
        .type = JOBWIRE_REFUSED, .number = code, .bytes = text, .length = strlen(text)};
    log_info("%s: channel %d: refused: %s", durable_channel_peer(channel), channel->number, text);
    durable_channel_queue(channel, &frame);
    durable_channel_detach(channel);
}

/* --- from the monitor --- */

/* Where the client goes on from: where it asked to, if those bytes are still kept. */
static bool settle_offsets(struct channel *channel, const struct wire_message *message)
{
    struct durable_channel *durable = channel->durable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        uint64_t oldest = (uint64_t)message->offsets[stream];
        if (!durable->attaching || durable->sent[stream] == JOBWIRE_OLDEST) {
            durable->sent[stream] = oldest;
        } else if (durable->sent[stream] < oldest) {
            return false;
        }
        durable->acked[stream] = oldest;
        durable->available[stream] = oldest;
    }
    return true;
}

static void on_attached(struct channel *channel, const struct wire_message *message, int spool_fd)
{
    struct durable_channel *durable = channel->durable;
    struct jobwire_frame frame = {.type = message->type == WIRE_JOB_STARTED ? JOBWIRE_STARTED
                                                                            : JOBWIRE_ATTACHED};
    if (durable->state != ASKED || spool_fd < 0 || spool_view_open(&durable->view, spool_fd) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    if (!settle_offsets(channel, message)) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_BYTES_GONE,
                               "output from that offset is not kept any more");
        return;
    }
    log_info("%s: channel %d: durable job %d %s as %s", durable_channel_peer(channel),
             channel->number, message->number,
             frame.type == JOBWIRE_STARTED ? "started" : "attached", durable->id);
    memcpy(frame.offsets, durable->sent, sizeof(frame.offsets));
    durable_channel_queue(channel, &frame);
    durable->state = ATTACHED;
    durable->ack_untold = true; /* where its reader goes on from */
}

static void on_available(struct channel *channel, const struct wire_message *message)
{
    struct durable_channel *durable = channel->durable;
    durable_borrow_end(channel); /* the monitor took it back, or would not tell */
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        durable->available[stream] = (uint64_t)message->offsets[stream];
        if (durable->sent[stream] > durable->available[stream]) {
            durable_channel_refuse(channel, JOBWIRE_REFUSED_BYTES_GONE,
                                   "there is no output at that offset yet");
            return;
        }
    }
}

static void on_start_failed(struct channel *channel, const struct wire_message *message)
{
    int reason = message->number;
    char text[256];
    if (!message->for_good) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_START, strerror(reason));
        return;
    }
    (void)snprintf(text, sizeof(text), "%s: %s",
                   reason == E2BIG ? "the container's environment and the command are too large"
                                   : "cannot execute the shell",
                   strerror(reason));
    durable_channel_refuse(channel, JOBWIRE_REFUSED_FOR_GOOD, text);
}

static void on_job_failed(struct channel *channel, const struct wire_message *message)
{
    if (message->number == ESRCH) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "no such job");
    } else if (message->number == EOWNERDEAD) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's monitor died");
    } else {
        on_start_failed(channel, message);
    }
}

static void on_job_message(struct channel *channel, const struct wire_message *message,
                           int fds[WIRE_FDS])
{
    struct durable_channel *durable = channel->durable;
    switch (message->type) {
    case WIRE_JOB_STARTED:
    case WIRE_JOB_ATTACHED:
        on_attached(channel, message, fds[0]);
        break;
    case WIRE_JOB_OUTPUT:
        on_available(channel, message);
        break;
    case WIRE_JOB_EXITED:
        on_available(channel, message);
        durable->exited = true;
        durable->wait_status = message->number;
        durable->usage = message->usage;
        break;
    case WIRE_JOB_LENT:
        durable_borrow(channel, message, fds);
        break;
    case WIRE_JOB_FAILED:
        on_job_failed(channel, message);
        break;
    case WIRE_JOB_REPLACED:
        durable_channel_refuse(channel, JOBWIRE_REFUSED_REPLACED,
                               "another connection attached to the job");
        break;
    default:
        break;
    }
}

static void receive_job_messages(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    struct wire_message message;
    int fds[WIRE_FDS];
    while (channel->job >= 0) {
        enum wire_result result = wire_receive(channel->job, &message, fds);
        if (result == WIRE_NOTHING) {
            return;
        }
        if (result == WIRE_CLOSED) {
            cleanup_fd_fn(&channel->job);
            if (durable->exited) {
                return; /* the agent ends; what the job wrote is mapped here */
            }
            bool unknown = durable->state == ASKED && durable->attaching;
            durable_channel_refuse(channel,
                                   unknown ? JOBWIRE_REFUSED_UNKNOWN_JOB : JOBWIRE_REFUSED_LOST,
                                   unknown ? "no such job" : "the job's monitor died");
            return;
        }
        on_job_message(channel, &message, fds);
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
    }
}

/* --- to the client --- */

/* Both sides say "unknown" with all bits set. */
static struct jobwire_usage usage_for_client(const struct job_usage *usage)
{
    return (struct jobwire_usage){.cpu_ms = (uint64_t)usage->cpu_ms,
                                  .peak_bytes = (uint64_t)usage->peak_bytes,
                                  .limit_bytes = (uint64_t)usage->limit_bytes,
                                  .process_peak_bytes = (uint64_t)usage->process_peak_bytes,
                                  .oom_kills = (uint64_t)usage->oom_kills};
}

static void report(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    struct jobwire_frame frame = {.type = JOBWIRE_EXIT, .usage = usage_for_client(&durable->usage)};
    if (durable->state != ATTACHED || !durable->exited || durable_output_is_left(durable, 0) ||
        durable_output_is_left(durable, 1)) {
        return;
    }
    int status = durable->wait_status;
    memcpy(frame.offsets, durable->available, sizeof(frame.offsets));
    frame.number = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (WIFSIGNALED(status) && channel_signal_name(WTERMSIG(status)) != NULL) {
        frame.bytes = channel_signal_name(WTERMSIG(status));
        frame.length = strlen(frame.bytes);
    }
    log_info("%s: channel %d: telling the end of the durable job, status %u",
             durable_channel_peer(channel), channel->number, frame.number);
    durable_channel_queue(channel, &frame);
    durable->state = durable->state == ENDING ? ENDING : REPORTED;
}

/* The driver tells a job that failed from one whose task was taken away. */
static void warn_of_shutdown(struct channel *channel)
{
    bool init_died = channel->session->control < 0;
    const char *text = init_died ? "the agent's first process was killed, and its jobs end"
                                 : "the task was told to stop (SIGTERM: Spot interruption, "
                                   "StopTask or shutdown) and ends its jobs";
    struct durable_channel *durable = channel->durable;
    struct jobwire_frame frame = {.type = JOBWIRE_NOTICE,
                                  .number = JOBWIRE_NOTICE_SHUTDOWN,
                                  .bytes = text,
                                  .length = strlen(text)};
    if (!channel->session->shutting_down || durable->warned) {
        return;
    }
    durable->warned = true;
    if (durable->state == ATTACHED) {
        durable_channel_queue(channel, &frame);
    } else if (durable->state < ATTACHED) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_START, text);
    }
}

void durable_channel_service(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    if (channel->client_gone) {
        channel_release(channel);
        return;
    }
    receive_job_messages(channel);
    durable_channel_read(channel);
    warn_of_shutdown(channel);
    durable_output_send_queued(channel);
    durable_output_move(channel);
    if (durable_output_ack_is_due(durable)) {
        durable_output_tell(channel);
    }
    report(channel);
    durable_output_send_queued(channel);
    if (durable->state == ENDING && durable->queued.length == 0) {
        channel_finish(channel);
    }
}

bool durable_channel_wants_to_tell(const struct channel *channel)
{
    return channel->durable != NULL && durable_output_ack_is_due(channel->durable);
}

int durable_channel_start(struct channel *channel)
{
    if (channel->state != CHANNEL_OPEN || channel->session->shutting_down) {
        return 1;
    }
    struct durable_channel *durable = calloc(1, sizeof(*durable));
    if (durable == NULL) {
        return 1;
    }
    durable->input_fd = -1;
    jobwire_decoder_init(&durable->decoder);
    buffer_init(&durable->arrived, LIMIT_ARRIVED_BYTES);
    buffer_init(&durable->queued, (size_t)2 * LIMIT_OUTPUT_CHUNK_BYTES);
    channel->durable = durable;
    channel->callbacks.channel_data_function = durable_channel_on_data;
    channel->state = CHANNEL_RUNNING;
    return 0;
}

void durable_channel_free(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    if (durable == NULL) {
        return;
    }
    durable_channel_read(channel); /* last words */
    durable_borrow_end(channel);
    channel->callbacks.channel_data_function = NULL;
    jobwire_decoder_done(&durable->decoder);
    buffer_done(&durable->arrived);
    buffer_done(&durable->queued);
    spool_view_close(&durable->view);
    cleanup_fd_fn(&durable->input_fd);
    free(durable->command);
    free(durable);
    channel->durable = NULL;
}
