/* SPDX-License-Identifier: MIT */
/*
 * channel.c - the subsystem "berth-job" on one channel: messages of the resumable job's monitor
 * (wire.h), and what follows from them for the client (jobwire.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/ipc/wire.h"
#include "agent/session/resumable/resumable_channel.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/signal_names.h"

/* --- from the monitor --- */

/* Sets the offsets that the client continues from. False: it asked for bytes that are gone. */
static bool set_offsets(struct channel *channel, const struct wire_message *message)
{
    struct resumable_channel *resumable = channel->resumable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        uint64_t oldest = (uint64_t)message->offsets[stream];
        if (!resumable->attaching || resumable->sent[stream] == JOBWIRE_OLDEST) {
            resumable->sent[stream] = oldest;
        } else if (resumable->sent[stream] < oldest) {
            return false;
        }
        resumable->acked[stream] = oldest;
        resumable->available[stream] = oldest;
    }
    return true;
}

static void on_attached(struct channel *channel, const struct wire_message *message, int spool_fd)
{
    struct resumable_channel *resumable = channel->resumable;
    struct jobwire_frame frame = {.type = message->type == WIRE_JOB_STARTED ? JOBWIRE_STARTED
                                                                            : JOBWIRE_ATTACHED};
    if (resumable->state != ASKED || spool_fd < 0 ||
        spool_view_open(&resumable->view, spool_fd) < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    if (!set_offsets(channel, message)) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_BYTES_GONE,
                                 "output at that offset has been discarded");
        return;
    }
    log_info("%s: channel %d: resumable job %d %s as %s", resumable_channel_peer(channel),
             channel->number, message->number,
             frame.type == JOBWIRE_STARTED ? "started" : "attached", resumable->id);
    memcpy(frame.offsets, resumable->sent, sizeof(frame.offsets));
    resumable_channel_queue(channel, &frame);
    resumable->state = ATTACHED;
    resumable->ack_pending = true; /* reports these offsets to the monitor */
}

static void on_available(struct channel *channel, const struct wire_message *message)
{
    struct resumable_channel *resumable = channel->resumable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        resumable->available[stream] = (uint64_t)message->offsets[stream];
        if (resumable->sent[stream] > resumable->available[stream]) {
            resumable_channel_refuse(channel, JOBWIRE_REFUSED_BYTES_GONE,
                                     "there is no output at that offset yet");
            return;
        }
    }
}

static void on_job_failed(struct channel *channel, const struct wire_message *message)
{
    int reason = message->number;
    char text[256];
    if (reason == ESRCH) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "no such job");
    } else if (reason == EOWNERDEAD) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's monitor was killed");
    } else if (!message->permanent) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, strerror(reason));
    } else {
        /* --entrypoint wraps the shell of scripts, which may be what failed. */
        const struct option_list *entrypoint = &channel->session->setup->options->entrypoint;
        bool wrapped = entrypoint->count > 0;
        (void)snprintf(text, sizeof(text), "%s%s%.100s%s: %s",
                       reason == E2BIG ? "the container's environment and the command are too large"
                                       : "cannot execute the shell",
                       wrapped ? " through the entrypoint '" : "",
                       wrapped ? entrypoint->entries[0] : "", wrapped ? "'" : "", strerror(reason));
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_PERMANENT, text);
    }
}

static void on_job_message(struct channel *channel, const struct wire_message *message,
                           int fds[WIRE_FDS])
{
    struct resumable_channel *resumable = channel->resumable;
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
        resumable->exited = true;
        resumable->wait_status = message->number;
        resumable->usage = message->usage;
        break;
    case WIRE_JOB_FAILED:
        on_job_failed(channel, message);
        break;
    case WIRE_JOB_REPLACED:
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_REPLACED,
                                 "another connection attached to the job");
        break;
    default:
        break;
    }
}

static void receive_job_messages(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    struct wire_message message;
    int fds[WIRE_FDS];
    while (channel->job >= 0) {
        enum wire_result result = wire_receive(channel->job, &message, fds);
        if (result == WIRE_NOTHING) {
            return;
        }
        if (result == WIRE_CLOSED) {
            cleanup_fd_fn(&channel->job);
            if (resumable->exited) {
                return; /* the agent exits; the output is still mapped */
            }
            bool unknown = resumable->state == ASKED && resumable->attaching;
            if (unknown && !resumable->asked_again) {
                resumable->asked_again = true; /* init knows how the monitor ended */
                resumable_channel_ask_to_attach(channel);
                continue;
            }
            resumable_channel_refuse(channel,
                                     unknown ? JOBWIRE_REFUSED_UNKNOWN_JOB : JOBWIRE_REFUSED_LOST,
                                     unknown ? "no such job" : "the job's monitor was killed");
            return;
        }
        on_job_message(channel, &message, fds);
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
    }
}

/* --- to the client --- */

static void report(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    const struct job_usage *usage = &resumable->usage;
    /* Unknown values have all bits set on both sides. */
    struct jobwire_frame frame = {
        .type = JOBWIRE_EXIT,
        .usage = {.cpu_ms = (uint64_t)usage->cpu_ms,
                  .peak_bytes = (uint64_t)usage->peak_bytes,
                  .limit_bytes = (uint64_t)usage->limit_bytes,
                  .process_peak_bytes = (uint64_t)usage->process_peak_bytes,
                  .oom_kills = (uint64_t)usage->oom_kills}};
    if (resumable->state != ATTACHED || !resumable->exited ||
        resumable_output_is_left(resumable, 0) || resumable_output_is_left(resumable, 1)) {
        return;
    }
    int status = resumable->wait_status;
    memcpy(frame.offsets, resumable->available, sizeof(frame.offsets));
    frame.number = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (WIFSIGNALED(status) && signal_is_in_ssh(WTERMSIG(status))) {
        frame.bytes = signal_name(WTERMSIG(status));
        frame.length = strlen(frame.bytes);
    }
    log_info("%s: channel %d: reporting exit status %u of the resumable job",
             resumable_channel_peer(channel), channel->number, frame.number);
    resumable_channel_queue(channel, &frame);
    resumable->state = resumable->state == ENDING ? ENDING : REPORTED;
}

/* Lets the driver distinguish a failed job from a stopped task. */
static void warn_of_shutdown(struct channel *channel)
{
    bool init_died = channel->session->control < 0;
    const char *text = init_died ? "the agent's first process was killed, stopping its jobs"
                                 : "the task received SIGTERM (Spot interruption, StopTask or "
                                   "shutdown), stopping its jobs";
    struct resumable_channel *resumable = channel->resumable;
    struct jobwire_frame frame = {.type = JOBWIRE_NOTICE,
                                  .number = JOBWIRE_NOTICE_SHUTDOWN,
                                  .bytes = text,
                                  .length = strlen(text)};
    if (!channel->session->shutting_down || resumable->warned) {
        return;
    }
    resumable->warned = true;
    if (resumable->state == ATTACHED) {
        resumable_channel_queue(channel, &frame);
    } else if (resumable->state < ATTACHED) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, text);
    }
}

bool resumable_channel_service(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    if (channel->client_gone) {
        return true;
    }
    receive_job_messages(channel);
    resumable_channel_read(channel);
    warn_of_shutdown(channel);
    resumable_output_send_queued(channel);
    resumable_output_move(channel);
    if (resumable_output_ack_is_due(resumable)) {
        resumable_output_acknowledge(channel);
    }
    report(channel);
    resumable_output_send_queued(channel);
    if (resumable->state == ENDING && resumable->queued.length == 0) {
        channel_finish(channel);
        return true;
    }
    return false;
}

bool resumable_channel_ack_is_due(const struct channel *channel)
{
    return channel->resumable != NULL && resumable_output_ack_is_due(channel->resumable);
}

int resumable_channel_start(struct channel *channel)
{
    if (channel->state != CHANNEL_OPEN || channel->session->shutting_down) {
        return 1;
    }
    struct resumable_channel *resumable = calloc(1, sizeof(*resumable));
    if (resumable == NULL) {
        return 1;
    }
    resumable->input_fd = -1;
    jobwire_decoder_init(&resumable->decoder);
    buffer_init(&resumable->arrived, LIMIT_ARRIVED_BYTES);
    buffer_init(&resumable->queued, (size_t)2 * LIMIT_OUTPUT_CHUNK_BYTES);
    channel->resumable = resumable;
    channel->callbacks.channel_data_function = resumable_channel_on_data;
    channel->state = CHANNEL_RUNNING;
    return 0;
}

void resumable_channel_free(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    if (resumable == NULL) {
        return;
    }
    resumable_channel_read(channel); /* the last frames */
    channel->callbacks.channel_data_function = NULL;
    jobwire_decoder_done(&resumable->decoder);
    buffer_done(&resumable->arrived);
    buffer_done(&resumable->queued);
    spool_view_close(&resumable->view);
    cleanup_fd_fn(&resumable->input_fd);
    free(resumable->command);
    free(resumable->words);
    free(resumable);
    channel->resumable = NULL;
}
