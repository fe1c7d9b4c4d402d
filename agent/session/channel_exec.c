/* SPDX-License-Identifier: MIT */
/*
 * channel_exec.c - the subsystem "berth-exec" until its command is complete (jobwire.h); from then
 * on the channel is that of a plain job.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ipc/request.h"
#include "agent/session/channel.h"
#include "common/log.h"

int exec_channel_start(struct channel *channel)
{
    if (channel->state != CHANNEL_OPEN || channel->session->shutting_down) {
        return 1;
    }
    channel->command = malloc(sizeof(*channel->command));
    if (channel->command == NULL) {
        return 1;
    }
    jobwire_decoder_init(channel->command);
    return 0;
}

void exec_channel_free(struct channel *channel)
{
    if (channel->command != NULL) {
        jobwire_decoder_done(channel->command);
        free(channel->command);
        channel->command = NULL;
    }
}

/* The job was not started. */
static void refuse(struct channel *channel, const char *why)
{
    log_info("%s: channel %d: %s, closing it", channel->session->setup->peer, channel->number, why);
    exec_channel_free(channel);
    channel->client_gone = true; /* no exit-status, since nothing ran */
}

static void begin(struct channel *channel, const struct jobwire_frame *frame)
{
    bool fits = frame->type == JOBWIRE_RUN && job_request_words(frame->bytes, frame->length);
    char *words = fits ? malloc(frame->length) : NULL;
    size_t length = frame->length;
    if (words == NULL) {
        refuse(channel, fits ? "out of memory" : "unexpected frame");
        return;
    }
    memcpy(words, frame->bytes, length);
    exec_channel_free(channel); /* it owns the frame's bytes */
    if (channel_run(channel, words, length) != 0) {
        refuse(channel, "cannot request its job");
    }
    explicit_bzero(words, length);
    free(words);
}

void exec_channel_read(struct channel *channel)
{
    struct jobwire_frame frame;
    while (channel->command != NULL) {
        int got =
            ssh_channel_read_nonblocking(channel->ssh, channel->input, LIMIT_INPUT_CHUNK_BYTES, 0);
        if (got <= 0) {
            if (got != 0 || channel->input_ended) {
                refuse(channel, "its input ended before its command was complete");
            }
            return;
        }
        const char *bytes = channel->input;
        size_t left = (size_t)got;
        enum jobwire_result result = jobwire_decode(channel->command, &bytes, &left, &frame);
        if (result == JOBWIRE_BROKEN) {
            refuse(channel, "malformed frame");
        } else if (result == JOBWIRE_FRAME) { /* the bytes after it are the job's input */
            channel->input_sent = (size_t)(bytes - channel->input);
            channel->input_length = (size_t)got;
            char last = left > 0 ? bytes[left - 1] : '\n';
            channel->in_line = last != '\n' && last != '\r';
            begin(channel, &frame);
        }
    }
}
