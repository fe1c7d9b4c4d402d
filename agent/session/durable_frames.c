/* SPDX-License-Identifier: MIT */
/*
 * durable_frames.c - "berth-job" from the client's side: its frames (jobwire.h), each in its place.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/job/request.h"
#include "agent/session/durable_private.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

static int ask(struct channel *channel, int type, const int *files, int count)
{
    struct wire_message message = {.type = type};
    int ends[2] = {-1, -1};
    int fds[WIRE_FDS] = {-1, -1, -1};
    memcpy(message.id, channel->durable->id, sizeof(message.id));
    if (wire_pair(ends) < 0) {
        return -1;
    }
    /* The socket is the first of ATTACH, the second of START. */
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
    channel->durable->state = ASKED;
    return result;
}

static void ask_to_attach(struct channel *channel)
{
    channel->durable->attaching = true;
    if (ask(channel, WIRE_DURABLE_ATTACH, NULL, 0) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "cannot ask for the job");
    }
}

/* The input can be read, but not be changed any more, by whoever gets it. */
static int seal_input(int fd)
{
    return lseek(fd, 0, SEEK_SET) < 0 ||
                   fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0
               ? -1
               : 0;
}

static void ask_to_start(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    struct job_request request = {.user = strdup(channel->session->user),
                                  .command = durable->command,
                                  .client = strdup(channel->session->setup->client)};
    durable->command = NULL;
    cleanup_fd int file = -1;
    if (request.user != NULL && request.client != NULL && seal_input(durable->input_fd) == 0) {
        file = job_request_write(&request);
    }
    job_request_done(&request);
    int files[] = {file, durable->input_fd};
    if (file < 0 || ask(channel, WIRE_DURABLE_START, files, 2) < 0) {
        log_error("%s: cannot ask for a durable job: %m, refusing", durable_channel_peer(channel));
        durable_channel_refuse(channel, JOBWIRE_REFUSED_START, "cannot ask for the job");
    }
    cleanup_fd_fn(&durable->input_fd);
}

static void on_start(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    if (memchr(frame->bytes, '\0', frame->length) != NULL || frame->length == 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL,
                               "the command is empty or holds a NUL");
        return;
    }
    memcpy(durable->id, frame->id, sizeof(durable->id));
    durable->command = strndup(frame->bytes, frame->length);
    durable->input_fd = memfd_create("berth-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (durable->command == NULL || durable->input_fd < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_START, "out of memory");
        return;
    }
    durable->state = UPLOADING;
}

static void on_input(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    durable->input_bytes += frame->length;
    if (durable->input_bytes > LIMIT_DURABLE_INPUT_BYTES) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_FOR_GOOD, "the input is too long");
    } else if (fd_write_all(durable->input_fd, frame->bytes, frame->length, CLOCK_NEVER) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_START, "no memory for the input");
    }
}

static void on_input_end(struct channel *channel, const struct jobwire_frame *frame)
{
    if (frame->offsets[0] != channel->durable->input_bytes) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL,
                               "some of the input did not arrive");
        return;
    }
    ask_to_start(channel);
}

static void on_attach(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    memcpy(durable->id, frame->id, sizeof(durable->id));
    memcpy(durable->sent, frame->offsets, sizeof(durable->sent));
    ask_to_attach(channel);
}

static void on_ack(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (frame->offsets[stream] > durable->sent[stream]) {
            durable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL,
                                   "bytes were acknowledged that were not sent");
            return;
        }
    }
    memcpy(durable->acked, frame->offsets, sizeof(durable->acked));
    durable->ack_untold = true;
    durable_borrow_release(channel);
}

static void on_signal_frame(struct channel *channel, const struct jobwire_frame *frame)
{
    struct wire_message message = {.type = WIRE_JOB_SIGNAL,
                                   .number = channel_signal_number(frame->bytes, frame->length)};
    if (message.number != 0 && channel->job >= 0) {
        log_info("%s: channel %d: signal %s", durable_channel_peer(channel), channel->number,
                 channel_signal_name(message.number));
        (void)wire_send(channel->job, &message, NULL, 0); /* too late for a job that ended */
    }
}

static void on_release(struct channel *channel, const struct jobwire_frame *frame)
{
    struct wire_message message = {.type = WIRE_JOB_RELEASE};
    (void)frame;
    if (channel->job >= 0) {
        (void)wire_send(channel->job, &message, NULL, 0); /* else its deadline ends the wait */
    }
    durable_channel_detach(channel);
}

/* What a client may send, and when. */
static const struct {
    unsigned states; /* bits */
    void (*on_frame)(struct channel *channel, const struct jobwire_frame *frame);
} frames[] = {
    [JOBWIRE_START] = {1U << GREETING, on_start},
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
        (frames[frame->type].states & 1U << channel->durable->state) == 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "a frame that is out of place");
        return;
    }
    frames[frame->type].on_frame(channel, frame);
}

void durable_channel_take(struct channel *channel, const char *bytes, size_t length)
{
    struct durable_channel *durable = channel->durable;
    struct jobwire_frame frame;
    while (durable->state != ENDING) {
        switch (jobwire_decode(&durable->decoder, &bytes, &length, &frame)) {
        case JOBWIRE_FRAME:
            on_frame(channel, &frame);
            break;
        case JOBWIRE_MORE:
            return;
        case JOBWIRE_BROKEN:
            durable_channel_refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "a frame that is malformed");
            return;
        }
    }
}

int durable_channel_on_data(ssh_session ssh, ssh_channel ssh_channel, void *bytes, uint32_t length,
                            int is_stderr, void *userdata)
{
    struct durable_channel *durable = ((struct channel *)userdata)->durable;
    (void)ssh;
    (void)ssh_channel;
    if (!is_stderr && buffer_append(&durable->arrived, bytes, length) < 0) {
        durable->deaf = true;
    }
    return (int)length;
}

void durable_channel_read(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    if (durable->arrived.length > 0) {
        durable_channel_take(channel, durable->arrived.bytes, durable->arrived.length);
        buffer_clear(&durable->arrived);
    }
    if (durable->deaf && durable->state != ENDING) {
        log_error("%s: channel %d: out of memory, detaching", durable_channel_peer(channel),
                  channel->number);
        durable_channel_detach(channel);
    }
    if (channel->input_ended && durable->state != ENDING) {
        durable_channel_detach(channel);
    }
}
