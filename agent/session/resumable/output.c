/* SPDX-License-Identifier: MIT */
/*
 * output.c - sends a resumable job's output from the spool to the client, and acknowledges it to
 * the monitor.
 */
#include <errno.h>
#include <string.h>

#include "agent/ipc/wire.h"
#include "agent/session/resumable/resumable_channel.h"
#include "common/log.h"

_Static_assert((int)SPOOL_STREAMS == (int)JOBWIRE_STREAMS, "the same streams");
_Static_assert((uint64_t)JOB_USAGE_UNKNOWN == JOBWIRE_UNKNOWN, "the same value for unknown");

/* --- to the monitor --- */

/* Late enough that the monitor wakes up for a large piece, and before this process runs out of
 * output. */
static bool progress_is_due(const struct resumable_channel *resumable)
{
    uint64_t sent = resumable->sent[0] + resumable->sent[1];
    uint64_t left = resumable->available[0] + resumable->available[1] - sent;
    return resumable->state == ATTACHED && left <= LIMIT_AHEAD_BYTES / 2 &&
           sent - resumable->reported_sent >= LIMIT_AHEAD_BYTES / 2;
}

/* While output is left to send, acknowledgements wait for the next progress report, so that the
 * monitor wakes up once for both. */
bool resumable_output_ack_is_due(const struct resumable_channel *resumable)
{
    uint64_t acked = resumable->acked[0] + resumable->acked[1];
    bool left = resumable_output_is_left(resumable, 0) || resumable_output_is_left(resumable, 1);
    return resumable->ack_pending &&
           (!left || acked - resumable->reported_acked >= LIMIT_AHEAD_BYTES);
}

/* A message that the socket does not take is not queued: a later one has newer offsets. */
void resumable_output_acknowledge(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    struct wire_message message = {.type = WIRE_JOB_ACK};
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        message.offsets[stream] = (int64_t)resumable->acked[stream];
        message.sent[stream] = (int64_t)resumable->sent[stream];
    }
    if (channel->job < 0) {
        return;
    }
    if (wire_send(channel->job, &message, NULL, 0) < 0) {
        resumable->ack_pending = errno == EAGAIN || errno == ENOBUFS;
    } else {
        resumable->ack_pending = false;
        resumable->reported_sent = resumable->sent[0] + resumable->sent[1];
        resumable->reported_acked = resumable->acked[0] + resumable->acked[1];
    }
}

/* --- to the client --- */

static bool may_send(const struct channel *channel)
{
    return (ssh_get_poll_flags(channel->session->ssh) & SSH_WRITE_PENDING) == 0 &&
           ssh_channel_window_size(channel->ssh) > JOBWIRE_OUTPUT_HEADER_BYTES &&
           !channel->client_gone;
}

/* Returns how much libssh took: nothing during a key exchange. */
static size_t send_now(struct channel *channel, const char *bytes, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        int written = ssh_channel_write(channel->ssh, bytes + sent, (uint32_t)(length - sent));
        if (written <= 0) {
            break; /* the loop sees an error as the end of the session */
        }
        sent += (size_t)written;
    }
    return sent;
}

void resumable_output_send_queued(struct channel *channel)
{
    struct buffer *queued = &channel->resumable->queued;
    if (queued->length > 0 && ssh_channel_window_size(channel->ssh) > 0 && !channel->client_gone) {
        buffer_consume(queued, send_now(channel, queued->bytes, queued->length));
    }
}

/* Sends a frame. What libssh does not take is queued. */
static void send_bytes(struct channel *channel, const char *bytes, size_t length)
{
    struct buffer *queued = &channel->resumable->queued;
    if (channel->resumable->state == ENDING) {
        return; /* an earlier part could not be queued */
    }
    size_t sent = queued->length == 0 ? send_now(channel, bytes, length) : 0;
    if (sent < length && buffer_append(queued, bytes + sent, length - sent) < 0) {
        log_error("%s: channel %d: out of memory, detaching", resumable_channel_peer(channel),
                  channel->number);
        /* A partial frame breaks the stream; the client attaches again. */
        resumable_channel_detach(channel);
    }
}

static void send_output(struct channel *channel, int stream)
{
    struct resumable_channel *resumable = channel->resumable;
    char *frame = channel->session->chunk;
    size_t room = ssh_channel_window_size(channel->ssh);
    room = room < LIMIT_OUTPUT_CHUNK_BYTES ? room : LIMIT_OUTPUT_CHUNK_BYTES;
    room -= JOBWIRE_OUTPUT_HEADER_BYTES;
    uint64_t left = resumable->available[stream] - resumable->sent[stream];
    size_t length = left < room ? (size_t)left : room;
    session_chunk_used(channel->session);
    /* Behind the frame's header, so that they share packets: a header in its own packet would wake
     * up the driver for nothing. */
    if (spool_view_read(&resumable->view, stream, resumable->sent[stream],
                        frame + JOBWIRE_OUTPUT_HEADER_BYTES, length) < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    jobwire_output_header(frame, (enum jobwire_stream)stream, resumable->sent[stream], length);
    resumable->sent[stream] += length;
    if (progress_is_due(resumable)) { /* the monitor reads while this process encrypts */
        resumable_output_acknowledge(channel);
    }
    send_bytes(channel, frame, JOBWIRE_OUTPUT_HEADER_BYTES + length);
}

bool resumable_output_is_left(const struct resumable_channel *resumable, int stream)
{
    return resumable->state == ATTACHED && resumable->available[stream] > resumable->sent[stream];
}

void resumable_output_move(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    bool more = true;
    while (more) {
        more = false;
        for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
            if (resumable_output_is_left(resumable, stream) && resumable->queued.length == 0 &&
                may_send(channel)) {
                send_output(channel, stream);
                more = true;
            }
        }
    }
}
