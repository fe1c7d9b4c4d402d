/* SPDX-License-Identifier: MIT */
/*
 * durable_output.c - a durable job's output from the spool of its monitor to the client, and what
 * the monitor is told of it.
 */
#include <errno.h>
#include <string.h>

#include "agent/session/durable_private.h"
#include "agent/session/flush.h"
#include "agent/wire.h"
#include "common/log.h"

/* A frame that begins and ends within a slot. */
#define FRAME_PIECES (LIMIT_FRAME_BYTES / SPOOL_SLOT_BYTES + 2)

/* --- to the monitor --- */

/* Late enough to wake the monitor for a large piece, and before there is nothing left to do here.
 */
static bool progress_is_due(const struct durable_channel *durable)
{
    uint64_t sent = durable->sent[0] + durable->sent[1];
    uint64_t left = durable->available[0] + durable->available[1] - sent;
    return durable->state == ATTACHED && left <= LIMIT_AHEAD_BYTES / 2 &&
           sent - durable->told_sent >= LIMIT_AHEAD_BYTES / 2;
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

/* A part of a frame. What libssh does not take now is kept, so that the frame is sent whole. */
static void send_part(struct channel *channel, const char *bytes, size_t length)
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

/* Bytes of the spool that make up a frame. */
struct pieces {
    size_t count, total;
    struct {
        const char *bytes;
        size_t length;
    } at[FRAME_PIECES];
};

/* -1: the spool is not what it should be. */
static int find_pieces(const struct durable_channel *durable, int stream, size_t wanted,
                       struct pieces *out)
{
    *out = (struct pieces){0};
    while (out->total < wanted && out->count < FRAME_PIECES) {
        size_t length = wanted - out->total;
        const char *bytes =
            spool_view_at(&durable->view, stream, durable->sent[stream] + out->total, &length);
        if (bytes == NULL) {
            return -1;
        }
        out->at[out->count].bytes = bytes;
        out->at[out->count].length = length;
        out->count++;
        out->total += length;
    }
    return 0;
}

/* How much of what there is goes into the next frame. Large ones end where a packet would, so that
 * those after it are full. */
static size_t frame_bytes(const struct channel *channel, int stream)
{
    const struct durable_channel *durable = channel->durable;
    uint64_t left = durable->available[stream] - durable->sent[stream];
    size_t room = ssh_channel_window_size(channel->ssh);
    room = room < LIMIT_FRAME_BYTES ? room : LIMIT_FRAME_BYTES;
    room -= JOBWIRE_OUTPUT_HEADER_BYTES;
    if (left <= room) {
        return (size_t)left;
    }
    size_t over = (size_t)((durable->sent[stream] + room) % LIMIT_PACKET_BYTES);
    return room > over ? room - over : room;
}

/* A header and bytes in one packet when they fit one, or else from where they lie. */
static void send_frame(struct channel *channel, char header[JOBWIRE_OUTPUT_HEADER_BYTES],
                       const struct pieces *pieces)
{
    char *packet = channel->session->chunk;
    size_t length = JOBWIRE_OUTPUT_HEADER_BYTES;
    if (length + pieces->total > LIMIT_PACKET_BYTES) {
        flush_hold();
        send_part(channel, header, length);
        for (size_t i = 0; i < pieces->count; i++) {
            send_part(channel, pieces->at[i].bytes, pieces->at[i].length);
        }
        flush_release(channel->session->ssh);
        return;
    }
    session_chunk_used(channel->session);
    memcpy(packet, header, length);
    for (size_t i = 0; i < pieces->count; i++) {
        memcpy(packet + length, pieces->at[i].bytes, pieces->at[i].length);
        length += pieces->at[i].length;
    }
    send_part(channel, packet, length);
}

static void send_output(struct channel *channel, int stream)
{
    struct durable_channel *durable = channel->durable;
    struct pieces pieces;
    char header[JOBWIRE_OUTPUT_HEADER_BYTES];
    if (find_pieces(durable, stream, frame_bytes(channel, stream), &pieces) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    jobwire_output_header(header, (enum jobwire_stream)stream, durable->sent[stream], pieces.total);
    durable->sent[stream] += pieces.total;
    if (progress_is_due(durable)) { /* it reads the next piece while this one is encrypted */
        durable_output_tell(channel);
    }
    send_frame(channel, header, &pieces);
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
            if (durable_output_is_left(durable, stream) && durable->queued.length == 0 &&
                may_send(channel)) {
                send_output(channel, stream);
                more = true;
            }
        }
    }
}
