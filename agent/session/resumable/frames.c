/* SPDX-License-Identifier: MIT */
/*
 * frames.c - the subsystem "berth-job": the client's frames (jobwire.h), and the states in which
 * each is allowed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/ipc/request.h"
#include "agent/ipc/wire.h"
#include "agent/session/resumable/resumable_channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

static int ask(struct channel *channel, int type, const int *files, int count)
{
    struct wire_message message = {.type = type};
    int ends[2] = {-1, -1};
    int fds[WIRE_FDS] = {-1, -1, -1};
    memcpy(message.id, channel->resumable->id, sizeof(message.id));
    if (wire_pair(ends) < 0) {
        return -1;
    }
    /* The socket is the first descriptor of ATTACH, the second of START. */
    int used = 0;
    if (count > 0) {
        fds[used++] = files[0];
    }
    fds[used++] = ends[1];
    if (count > 1) {
        fds[used++] = files[1];
    }
    int result = wire_send(channel->session->control, &message, fds, used);
    (void)close(ends[1]);
    channel->job = ends[0];
    channel->resumable->state = ASKED;
    return result;
}

static void ask_to_start(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    struct job_request request = {.user = strdup(channel->session->user),
                                  .command = resumable->command,
                                  .words = resumable->words,
                                  .words_bytes = (uint32_t)resumable->words_bytes,
                                  .client = strdup(channel->session->setup->client)};
    resumable->command = NULL;
    resumable->words = NULL;
    cleanup_fd int file = -1;
    struct error err = {.message = "out of memory"};
    /* The seals make the input read-only for every process that gets it. */
    if (request.user != NULL && request.client != NULL &&
        lseek(resumable->input_fd, 0, SEEK_SET) == 0 &&
        fcntl(resumable->input_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0) {
        file = job_request_write(&request, &err);
    }
    job_request_done(&request);
    int files[] = {file, resumable->input_fd};
    if (file < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, err.message);
    } else if (ask(channel, WIRE_RESUMABLE_START, files, 2) < 0) {
        log_error("%s: cannot request a resumable job: %m, refusing",
                  resumable_channel_peer(channel));
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, "cannot request the job");
    }
    cleanup_fd_fn(&resumable->input_fd);
}

static void on_start(struct channel *channel, const struct jobwire_frame *frame)
{
    struct resumable_channel *resumable = channel->resumable;
    bool words = frame->type == JOBWIRE_RUN;
    if (words ? !job_request_words(frame->bytes, frame->length)
              : memchr(frame->bytes, '\0', frame->length) != NULL || frame->length == 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL,
                                 "the command is empty or contains a misplaced NUL");
        return;
    }
    char *copy = malloc(frame->length + 1);
    if (copy != NULL) {
        memcpy(copy, frame->bytes, frame->length);
        copy[frame->length] = '\0';
    }
    memcpy(resumable->id, frame->id, sizeof(resumable->id));
    if (words) {
        resumable->words = copy;
        resumable->words_bytes = frame->length;
    } else {
        resumable->command = copy;
    }
    struct error err = {.message = "out of memory"};
    resumable->input_fd = fd_memory_file("berth-input", MFD_ALLOW_SEALING, &err);
    if (copy == NULL || resumable->input_fd < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, err.message);
        return;
    }
    resumable->state = UPLOADING;
}

static void on_input(struct channel *channel, const struct jobwire_frame *frame)
{
    struct resumable_channel *resumable = channel->resumable;
    resumable->input_bytes += frame->length;
    if (resumable->input_bytes > LIMIT_RESUMABLE_INPUT_BYTES) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_PERMANENT, "the input is too long");
    } else if (fd_write_all(resumable->input_fd, frame->bytes, frame->length, CLOCK_NEVER) < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_START, "out of memory for the input");
    }
}

static void on_input_end(struct channel *channel, const struct jobwire_frame *frame)
{
    if (frame->offsets[0] != channel->resumable->input_bytes) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "part of the input is missing");
        return;
    }
    ask_to_start(channel);
}

void resumable_channel_ask_to_attach(struct channel *channel)
{
    if (ask(channel, WIRE_RESUMABLE_ATTACH, NULL, 0) < 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "cannot request the job");
    }
}

static void on_attach(struct channel *channel, const struct jobwire_frame *frame)
{
    struct resumable_channel *resumable = channel->resumable;
    memcpy(resumable->id, frame->id, sizeof(resumable->id));
    memcpy(resumable->sent, frame->offsets, sizeof(resumable->sent));
    resumable->attaching = true;
    resumable_channel_ask_to_attach(channel);
}

static void on_ack(struct channel *channel, const struct jobwire_frame *frame)
{
    struct resumable_channel *resumable = channel->resumable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (frame->offsets[stream] > resumable->sent[stream]) {
            resumable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL,
                                     "acknowledgement of bytes that were not sent");
            return;
        }
    }
    memcpy(resumable->acked, frame->offsets, sizeof(resumable->acked));
    resumable->ack_pending = true;
}

static void on_signal_frame(struct channel *channel, const struct jobwire_frame *frame)
{
    channel_signal(channel, frame->bytes, frame->length);
}

static void on_release(struct channel *channel, const struct jobwire_frame *frame)
{
    struct wire_message message = {.type = WIRE_JOB_RELEASE};
    (void)frame;
    if (channel->job >= 0) {
        (void)wire_send(channel->job, &message, NULL,
                        0); /* otherwise the monitor exits after --detach-timeout */
    }
    resumable_channel_detach(channel);
}

/* The frames of a client, and the states in which it may send them. */
static const struct {
    unsigned states; /* bits */
    void (*on_frame)(struct channel *channel, const struct jobwire_frame *frame);
} frames[] = {
    [JOBWIRE_START] = {1U << GREETING, on_start},
    [JOBWIRE_RUN] = {1U << GREETING, on_start},
    [JOBWIRE_INPUT] = {1U << UPLOADING, on_input},
    [JOBWIRE_INPUT_END] = {1U << UPLOADING, on_input_end},
    [JOBWIRE_ATTACH] = {1U << GREETING, on_attach},
    [JOBWIRE_ACK] = {1U << ATTACHED | 1U << REPORTED, on_ack},
    [JOBWIRE_SIGNAL] = {1U << ASKED | 1U << ATTACHED | 1U << REPORTED, on_signal_frame},
    [JOBWIRE_RELEASE] = {1U << REPORTED, on_release},
};

static void on_frame(struct channel *channel, const struct jobwire_frame *frame)
{
    if (frame->type >= sizeof(frames) / sizeof(frames[0]) ||
        (frames[frame->type].states & 1U << channel->resumable->state) == 0) {
        resumable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "unexpected frame");
        return;
    }
    frames[frame->type].on_frame(channel, frame);
}

void resumable_channel_take(struct channel *channel, const char *bytes, size_t length)
{
    struct resumable_channel *resumable = channel->resumable;
    struct jobwire_frame frame;
    while (resumable->state != ENDING) {
        switch (jobwire_decode(&resumable->decoder, &bytes, &length, &frame)) {
        case JOBWIRE_FRAME:
            on_frame(channel, &frame);
            break;
        case JOBWIRE_MORE:
            return;
        case JOBWIRE_BROKEN:
            resumable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "malformed frame");
            return;
        }
    }
}

int resumable_channel_on_data(ssh_session ssh, ssh_channel ssh_channel, void *bytes,
                              uint32_t length, int is_stderr, void *userdata)
{
    struct resumable_channel *resumable = ((struct channel *)userdata)->resumable;
    (void)ssh;
    (void)ssh_channel;
    if (!is_stderr && buffer_append(&resumable->arrived, bytes, length) < 0) {
        resumable->rx_overflow = true;
    }
    return (int)length;
}

void resumable_channel_read(struct channel *channel)
{
    struct resumable_channel *resumable = channel->resumable;
    if (resumable->arrived.length > 0) {
        resumable_channel_take(channel, resumable->arrived.bytes, resumable->arrived.length);
        buffer_clear(&resumable->arrived);
    }
    if (resumable->rx_overflow && resumable->state != ENDING) {
        log_error("%s: channel %d: out of memory, detaching", resumable_channel_peer(channel),
                  channel->number);
        resumable_channel_detach(channel);
    }
    if (channel->input_ended && resumable->state != ENDING) {
        resumable_channel_detach(channel);
    }
}
