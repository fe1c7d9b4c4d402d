/* SPDX-License-Identifier: MIT */
/*
 * durable_channel.c - "berth-job" on one channel: frames (jobwire.h) on the one side, a durable
 * job's monitor (wire.h) on the other.
 *
 *   GREETING -START-> UPLOADING -INPUT_END-> ASKED -> ATTACHED -EXIT sent-> REPORTED -> ENDING
 *       '-------------- ATTACH -----------------^        RELEASE, or anything refused ---^
 *
 * Whatever ends the channel only detaches: the job is its monitor's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/request.h"
#include "agent/job/spool.h"
#include "agent/session/session_private.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/jobwire.h"
#include "common/log.h"

enum durable_channel_state { GREETING, UPLOADING, ASKED, ATTACHED, REPORTED, ENDING };

struct durable_channel {
    enum durable_channel_state state;
    struct jobwire_decoder decoder;
    struct buffer queued; /* for the client, when window or socket did not take it */
    char id[JOBWIRE_ID_BYTES + 1];
    char *command;
    int input_fd; /* memory file */
    uint64_t input_bytes;
    bool attaching;         /* asked by ATTACH */
    struct spool_view view; /* once ATTACHED */
    uint64_t sent[JOBWIRE_STREAMS], available[JOBWIRE_STREAMS], acked[JOBWIRE_STREAMS];
    bool ack_untold; /* the monitor's socket was full */
    bool exited;     /* 'available' is all there will be */
    int wait_status;
    struct job_usage usage; /* once exited */
    bool warned;            /* of the agent's end */
};

static const char *peer_of(const struct channel *channel)
{
    return channel->session->setup->peer;
}

static void end(struct channel *channel)
{
    channel->durable->state = ENDING;
    cleanup_fd_fn(&channel->job); /* detaches */
}

static void queue(struct channel *channel, const struct jobwire_frame *frame)
{
    if (jobwire_encode(frame, &channel->durable->queued) < 0) {
        log_error("%s: channel %d: out of memory, detaching", peer_of(channel), channel->number);
        end(channel);
    }
}

static void refuse(struct channel *channel, enum jobwire_refusal code, const char *text)
{
    struct jobwire_frame frame = {
        .type = JOBWIRE_REFUSED, .number = code, .bytes = text, .length = strlen(text)};
    log_info("%s: channel %d: refused: %s", peer_of(channel), channel->number, text);
    queue(channel, &frame);
    end(channel);
}

/* --- from the client --- */

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
        refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "cannot ask for the job");
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
        log_error("%s: cannot ask for a durable job: %m, refusing", peer_of(channel));
        refuse(channel, JOBWIRE_REFUSED_START, "cannot ask for the job");
    }
    cleanup_fd_fn(&durable->input_fd);
}

static void on_start(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    if (memchr(frame->bytes, '\0', frame->length) != NULL || frame->length == 0) {
        refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "the command is empty or holds a NUL");
        return;
    }
    memcpy(durable->id, frame->id, sizeof(durable->id));
    durable->command = strndup(frame->bytes, frame->length);
    durable->input_fd = memfd_create("berth-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (durable->command == NULL || durable->input_fd < 0) {
        refuse(channel, JOBWIRE_REFUSED_START, "out of memory");
        return;
    }
    durable->state = UPLOADING;
}

static void on_input(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    durable->input_bytes += frame->length;
    if (durable->input_bytes > LIMIT_DURABLE_INPUT_BYTES) {
        refuse(channel, JOBWIRE_REFUSED_START, "the input is too long");
    } else if (fd_write_all(durable->input_fd, frame->bytes, frame->length, CLOCK_NEVER) < 0) {
        refuse(channel, JOBWIRE_REFUSED_START, "no memory for the input");
    }
}

static void on_input_end(struct channel *channel, const struct jobwire_frame *frame)
{
    if (frame->offsets[0] != channel->durable->input_bytes) {
        refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "some of the input did not arrive");
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

/* The newest offsets say everything, so a message that does not fit the socket is made anew. */
static void tell_ack(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    struct wire_message message = {.type = WIRE_JOB_ACK};
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        message.offsets[stream] = (int64_t)durable->acked[stream];
    }
    if (durable->ack_untold && channel->job >= 0) {
        durable->ack_untold =
            wire_send(channel->job, &message, NULL, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS);
    }
}

static void on_ack(struct channel *channel, const struct jobwire_frame *frame)
{
    struct durable_channel *durable = channel->durable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        if (frame->offsets[stream] > durable->sent[stream]) {
            refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "bytes were acknowledged that were not sent");
            return;
        }
    }
    memcpy(durable->acked, frame->offsets, sizeof(durable->acked));
    durable->ack_untold = true;
}

static void on_signal_frame(struct channel *channel, const struct jobwire_frame *frame)
{
    struct wire_message message = {.type = WIRE_JOB_SIGNAL,
                                   .number = channel_signal_number(frame->bytes, frame->length)};
    if (message.number != 0 && channel->job >= 0) {
        log_info("%s: channel %d: signal %s", peer_of(channel), channel->number,
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
    end(channel);
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
        refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "a frame that is out of place");
        return;
    }
    frames[frame->type].on_frame(channel, frame);
}

static void take_frames(struct channel *channel, const char *bytes, size_t length)
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
            refuse(channel, JOBWIRE_REFUSED_PROTOCOL, "a frame that is malformed");
            return;
        }
    }
}

static void read_client(struct channel *channel)
{
    int got;
    do { /* once ENDING, whatever comes is dropped */
        got =
            ssh_channel_read_nonblocking(channel->ssh, channel->input, LIMIT_INPUT_CHUNK_BYTES, 0);
        if (got > 0) {
            take_frames(channel, channel->input, (size_t)got);
        }
    } while (got > 0);
    if ((got == SSH_EOF || channel->input_ended) && channel->durable->state != ENDING) {
        end(channel);
    }
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
        refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    if (!settle_offsets(channel, message)) {
        refuse(channel, JOBWIRE_REFUSED_BYTES_GONE, "output from that offset is not kept any more");
        return;
    }
    log_info("%s: channel %d: durable job %d %s as %s", peer_of(channel), channel->number,
             message->number, frame.type == JOBWIRE_STARTED ? "started" : "attached", durable->id);
    memcpy(frame.offsets, durable->sent, sizeof(frame.offsets));
    queue(channel, &frame);
    durable->state = ATTACHED;
}

static void on_available(struct channel *channel, const struct wire_message *message)
{
    struct durable_channel *durable = channel->durable;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        durable->available[stream] = (uint64_t)message->offsets[stream];
        if (durable->sent[stream] > durable->available[stream]) {
            refuse(channel, JOBWIRE_REFUSED_BYTES_GONE, "there is no output at that offset yet");
            return;
        }
    }
}

static void on_job_failed(struct channel *channel, int reason)
{
    if (reason == ESRCH) {
        refuse(channel, JOBWIRE_REFUSED_UNKNOWN_JOB, "no such job");
    } else if (reason == EOWNERDEAD) {
        refuse(channel, JOBWIRE_REFUSED_LOST, "the job's monitor died");
    } else {
        refuse(channel, JOBWIRE_REFUSED_START, strerror(reason));
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
    case WIRE_JOB_FAILED:
        on_job_failed(channel, message->number);
        break;
    case WIRE_JOB_REPLACED:
        refuse(channel, JOBWIRE_REFUSED_REPLACED, "another connection attached to the job");
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
            refuse(channel, unknown ? JOBWIRE_REFUSED_UNKNOWN_JOB : JOBWIRE_REFUSED_LOST,
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

static void send_queued(struct channel *channel)
{
    struct buffer *queued = &channel->durable->queued;
    if (queued->length > 0 && ssh_channel_window_size(channel->ssh) > 0 && !channel->client_gone) {
        buffer_consume(queued, send_now(channel, queued->bytes, queued->length));
    }
}

/* One frame of a stream, gathered from its slots into the session's chunk. */
static void send_output(struct channel *channel, int stream)
{
    struct durable_channel *durable = channel->durable;
    char *chunk = channel->session->chunk;
    uint64_t left = durable->available[stream] - durable->sent[stream];
    size_t room = ssh_channel_window_size(channel->ssh);
    room = room < LIMIT_OUTPUT_CHUNK_BYTES ? room : LIMIT_OUTPUT_CHUNK_BYTES;
    room -= JOBWIRE_OUTPUT_HEADER_BYTES;
    size_t wanted = left < room ? (size_t)left : room;
    size_t filled = 0;
    while (filled < wanted) {
        size_t piece = wanted - filled;
        const char *bytes =
            spool_view_at(&durable->view, stream, durable->sent[stream] + filled, &piece);
        if (bytes == NULL) {
            refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
            return;
        }
        memcpy(chunk + JOBWIRE_OUTPUT_HEADER_BYTES + filled, bytes, piece);
        filled += piece;
    }
    jobwire_output_header(chunk, (enum jobwire_stream)stream, durable->sent[stream], filled);
    durable->sent[stream] += filled;
    size_t length = filled + JOBWIRE_OUTPUT_HEADER_BYTES;
    size_t sent = send_now(channel, chunk, length);
    if (sent < length && buffer_append(&durable->queued, chunk + sent, length - sent) < 0) {
        log_error("%s: channel %d: out of memory, detaching", peer_of(channel), channel->number);
        end(channel); /* half a frame cannot be made good; the client attaches again */
    }
}

static bool has_output(const struct durable_channel *durable, int stream)
{
    return durable->state == ATTACHED && durable->available[stream] > durable->sent[stream];
}

static void move_output(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    bool more = true;
    while (more) {
        more = false;
        for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
            if (has_output(durable, stream) && durable->queued.length == 0 && may_send(channel)) {
                send_output(channel, stream);
                more = true;
            }
        }
    }
}

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
    if (durable->state != ATTACHED || !durable->exited || has_output(durable, 0) ||
        has_output(durable, 1)) {
        return;
    }
    int status = durable->wait_status;
    memcpy(frame.offsets, durable->available, sizeof(frame.offsets));
    frame.number = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (WIFSIGNALED(status) && channel_signal_name(WTERMSIG(status)) != NULL) {
        frame.bytes = channel_signal_name(WTERMSIG(status));
        frame.length = strlen(frame.bytes);
    }
    log_info("%s: channel %d: durable job ended with status %u", peer_of(channel), channel->number,
             frame.number);
    queue(channel, &frame);
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
        queue(channel, &frame);
    } else if (durable->state < ATTACHED) {
        refuse(channel, JOBWIRE_REFUSED_START, text);
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
    read_client(channel);
    tell_ack(channel);
    warn_of_shutdown(channel);
    send_queued(channel);
    move_output(channel);
    report(channel);
    send_queued(channel);
    if (durable->state == ENDING && durable->queued.length == 0) {
        channel_finish(channel);
    }
}

bool durable_channel_wants_to_tell(const struct channel *channel)
{
    return channel->durable != NULL && channel->durable->ack_untold;
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
    buffer_init(&durable->queued, (size_t)2 * LIMIT_OUTPUT_CHUNK_BYTES);
    channel->durable = durable;
    channel->state = CHANNEL_RUNNING;
    return 0;
}

void durable_channel_free(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    if (durable == NULL) {
        return;
    }
    jobwire_decoder_done(&durable->decoder);
    buffer_done(&durable->queued);
    spool_view_close(&durable->view);
    cleanup_fd_fn(&durable->input_fd);
    free(durable->command);
    free(durable);
    channel->durable = NULL;
}
