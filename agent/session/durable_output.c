/* SPDX-License-Identifier: MIT */
/*
 * durable_output.c - a durable job's output from the spool of its monitor to the client, and what
 * the monitor is told of it.
 */
#include <errno.h>
#include <string.h>

#include "agent/session/durable_private.h"
#include "agent/wire.h"
#include "common/log.h"

/* --- to the monitor --- */

/* Late enough to wake the monitor for a large piece, and before there is nothing left to do here.
 */
static bool progress_is_due(const struct durable_channel *durable)
{
    uint64_t sent = durable->sent[0] + durable->sent[1];
    uint64_t left = durable->available[0] + durable->available[1] - sent;
    return durable->state == ATTACHED && !durable->lent && left <= LIMIT_AHEAD_BYTES / 2 &&
           sent - durable->told_sent >= LIMIT_AHEAD_BYTES / 2;
}

/* With the next progress, while there is something left to send: the monitor is woken once for
 * both. */
bool durable_output_ack_is_due(const struct durable_channel *durable)
{
    uint64_t acked = durable->acked[0] + durable->acked[1];
    bool left = durable_output_is_left(durable, 0) || durable_output_is_left(durable, 1);
    return durable->ack_untold && !durable->lent &&
           (!left || acked - durable->told_acked >= LIMIT_AHEAD_BYTES);
}

/* The newest offsets say everything, so a message that does not fit the socket is made anew. */
void durable_output_tell(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    struct wire_message message = {.type = WIRE_JOB_ACK};
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        message.offsets[stream] = (int64_t)durable->acked[stream];
        message.sent[stream] = (int64_t)durable->sent[stream];
    }
    if (channel->job < 0) {
        return;
    }
    if (wire_send(channel->job, &message, NULL, 0) < 0) {
        durable->ack_untold = errno == EAGAIN || errno == ENOBUFS;
    } else {
        durable->ack_untold = false;
        durable->told_sent = durable->sent[0] + durable->sent[1];
        durable->told_acked = durable->acked[0] + durable->acked[1];
    }
}

/* --- to the client --- */

static bool may_send(const struct channel *channel)
{
    return (ssh_get_poll_flags(channel->session->ssh) & SSH_WRITE_PENDING) == 0 &&
           ssh_channel_window_size(channel->ssh) > JOBWIRE_OUTPUT_HEADER_BYTES &&
           !channel->client_gone;
}

/* Sends what goes now; libssh takes nothing while session keys are exchanged. */
static size_t send_now(struct channel *channel, const char *bytes, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        int written = ssh_channel_write(channel->ssh, bytes + sent, (uint32_t)(length - sent));
        if (written <= 0) {
            break; /* an error shows as the session's end */
        }
        sent += (size_t)written;
    }
    return sent;
}

void durable_output_send_queued(struct channel *channel)
{
    struct buffer *queued = &channel->durable->queued;
    if (queued->length > 0 && ssh_channel_window_size(channel->ssh) > 0 && !channel->client_gone) {
        buffer_consume(queued, send_now(channel, queued->bytes, queued->length));
    }
}

/* A frame. What libssh does not take now is kept, so that the frame is sent whole. */
static void send_bytes(struct channel *channel, const char *bytes, size_t length)
{
    struct buffer *queued = &channel->durable->queued;
    if (channel->durable->state == ENDING) {
        return; /* an earlier part could not be kept */
    }
    size_t sent = queued->length == 0 ? send_now(channel, bytes, length) : 0;
    if (sent < length && buffer_append(queued, bytes + sent, length - sent) < 0) {
        log_error("%s: channel %d: out of memory, detaching", durable_channel_peer(channel),
                  channel->number);
        durable_channel_detach(
            channel); /* half a frame cannot be made good; the client attaches again */
    }
}

/* What goes into the next frame: no more than window and memory take. */
static size_t frame_bytes(const struct channel *channel, int stream)
{
    const struct durable_channel *durable = channel->durable;
    uint64_t left = durable->available[stream] - durable->sent[stream];
    size_t room = ssh_channel_window_size(channel->ssh);
    room = room < LIMIT_OUTPUT_CHUNK_BYTES ? room : LIMIT_OUTPUT_CHUNK_BYTES;
    room -= JOBWIRE_OUTPUT_HEADER_BYTES;
    return left < room ? (size_t)left : room;
}

/* Header and bytes one behind the other, so that they make full packets: a header in a packet of
 * its own would be sent, and wake the driver, for itself. -1: the spool is not what it should be.
 */
static int copy_bytes(const struct durable_channel *durable, int stream, char *to, size_t length)
{
    for (size_t done = 0, part; done < length; done += part) {
        part = length - done;
        const char *bytes =
            spool_view_at(&durable->view, stream, durable->sent[stream] + done, &part);
        if (bytes == NULL) {
            return -1;
        }
        memcpy(to + done, bytes, part);
    }
    return 0;
}

/* A whole slot goes from where it lies, behind the header that is put in front of it; while it is
 * ours to write to. */
static bool send_slot(struct channel *channel, int stream)
{
    struct durable_channel *durable = channel->durable;
    uint64_t offset = durable->sent[stream];
    size_t together = SPOOL_SLOT_BYTES;
    if (!durable->lent || offset % SPOOL_SLOT_BYTES != 0 ||
        durable->available[stream] - offset < SPOOL_SLOT_BYTES ||
        ssh_channel_window_size(channel->ssh) < SPOOL_SLOT_BYTES + JOBWIRE_OUTPUT_HEADER_BYTES) {
        return false;
    }
    const char *bytes = spool_view_at(&durable->view, stream, offset, &together);
    if (bytes == NULL) {
        return false;
    }
    char *frame = durable->view.map + (bytes - durable->view.map) - JOBWIRE_OUTPUT_HEADER_BYTES;
    jobwire_output_header(frame, (enum jobwire_stream)stream, offset, SPOOL_SLOT_BYTES);
    durable->sent[stream] += SPOOL_SLOT_BYTES;
    send_bytes(channel, frame, JOBWIRE_OUTPUT_HEADER_BYTES + SPOOL_SLOT_BYTES);
    return true;
}

static void send_output(struct channel *channel, int stream)
{
    struct durable_channel *durable = channel->durable;
    if (send_slot(channel, stream)) {
        return;
    }
    char *frame = channel->session->chunk;
    size_t length = frame_bytes(channel, stream);
    session_chunk_used(channel->session);
    if (copy_bytes(durable, stream, frame + JOBWIRE_OUTPUT_HEADER_BYTES, length) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    jobwire_output_header(frame, (enum jobwire_stream)stream, durable->sent[stream], length);
    durable->sent[stream] += length;
    if (progress_is_due(durable)) { /* it reads the next piece while this one is encrypted */
        durable_output_tell(channel);
    }
    send_bytes(channel, frame, JOBWIRE_OUTPUT_HEADER_BYTES + length);
}

bool durable_channel_is_held_up(const struct channel *channel)
{
    return channel->durable != NULL && (channel->durable->queued.length > 0 || !may_send(channel));
}

bool durable_output_is_left(const struct durable_channel *durable, int stream)
{
    return durable->state == ATTACHED && durable->available[stream] > durable->sent[stream];
}

void durable_output_move(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    bool more = true;
    while (more) {
        more = false;
        for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
            if (durable->state != ATTACHED || durable->queued.length > 0 || !may_send(channel)) {
                return;
            }
            if (durable_output_is_left(durable, stream) || durable_borrow_fill(channel, stream)) {
                send_output(channel, stream);
                more = true;
            }
        }
    }
}
