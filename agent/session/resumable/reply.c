/* SPDX-License-Identifier: MIT */
/*
 * reply.c - frames that the session itself sends to the client, and the end of the subsystem.
 */
#include <string.h>

#include "agent/session/resumable/resumable_channel.h"
#include "common/cleanup.h"
#include "common/log.h"

const char *resumable_channel_peer(const struct channel *channel)
{
    return channel->session->setup->peer;
}

void resumable_channel_detach(struct channel *channel)
{
    channel->resumable->state = ENDING;
    cleanup_fd_fn(&channel->job);
}

void resumable_channel_queue(struct channel *channel, const struct jobwire_frame *frame)
{
    if (jobwire_encode(frame, &channel->resumable->queued) < 0) {
        log_error("%s: channel %d: out of memory, detaching", resumable_channel_peer(channel),
                  channel->number);
        resumable_channel_detach(channel);
    }
}

void resumable_channel_refuse(struct channel *channel, enum jobwire_refusal code, const char *text)
{
    struct jobwire_frame frame = {
        .type = JOBWIRE_REFUSED, .number = code, .bytes = text, .length = strlen(text)};
    log_info("%s: channel %d: refused: %s", resumable_channel_peer(channel), channel->number, text);
    resumable_channel_queue(channel, &frame);
    resumable_channel_detach(channel);
}
