/* SPDX-License-Identifier: MIT */
/*
 * channel.c - one round of a channel, and the bytes of a plain job: input, output and end.
 *
 * A job always ends in this order: its monitor reaps it, its output is read to the end (drain.h),
 * then exit-status or exit-signal, EOF and close (RFC 4254, sections 6.10 and 5.3).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ipc/wire.h"
#include "agent/session/channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#define NO_SFTP_SERVER \
    "no sftp-server in this image; install one (openssh-sftp-server), or use 'scp -O'"

static void begin_draining(struct channel *channel, int wait_status)
{
    cleanup_fd_fn(&channel->stdin_fd);
    channel->wait_status = wait_status;
    channel->state = CHANNEL_DRAINING;
    drain_begin(&channel->drain, (int[]){channel->stdout_fd, channel->stderr_fd},
                channel->session->setup->options->drain_ms);
}

/* The job did not start: the client gets the reason on stderr, and a shell's status for it. */
static void on_job_failed(struct channel *channel, int errnum)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "berth: error: %s%s\n",
                          errnum == ENOPKG ? NO_SFTP_SERVER : "cannot start the command: ",
                          errnum == ENOPKG ? "" : strerror(errnum));
    (void)ssh_channel_write_stderr(channel->ssh, text, (uint32_t)length);
    int status = errnum == ENOENT || errnum == ENOPKG ? 127 : 126;
    begin_draining(channel, status << 8); /* the wait status of a process that exited with it */
}

static void on_job_message(struct channel *channel, const struct wire_message *message,
                           int fds[WIRE_FDS])
{
    const char *peer = channel->session->setup->peer;
    switch (message->type) {
    case WIRE_JOB_STARTED:
        channel->stdin_fd = steal_fd(&fds[0]);
        channel->stdout_fd = steal_fd(&fds[1]);
        channel->stderr_fd = steal_fd(&fds[2]);
        channel->state = CHANNEL_RUNNING;
        log_info("%s: channel %d: job %d started", peer, channel->number, message->number);
        break;
    case WIRE_JOB_FAILED:
        on_job_failed(channel, message->number);
        break;
    case WIRE_JOB_EXITED:
        channel->exited = *message;
        begin_draining(channel, message->number);
        break;
    default:
        break;
    }
    for (int i = 0; i < WIRE_FDS; i++) {
        cleanup_fd_fn(&fds[i]);
    }
}

static void receive_job_messages(struct channel *channel)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    while (channel->job >= 0 && channel->state != CHANNEL_DRAINING) {
        switch (wire_receive(channel->job, &message, fds)) {
        case WIRE_NOTHING:
            return;
        case WIRE_MESSAGE:
            on_job_message(channel, &message, fds);
            break;
        case WIRE_CLOSED:
            log_error("%s: channel %d: the job's monitor was killed, reporting SIGKILL",
                      channel->session->setup->peer, channel->number);
            cleanup_fd_fn(&channel->job);
            begin_draining(channel, SIGKILL);
            break;
        }
    }
}

static bool may_send(const struct channel *channel)
{
    return (ssh_get_poll_flags(channel->session->ssh) & SSH_WRITE_PENDING) == 0 &&
           ssh_channel_window_size(channel->ssh) > 0 && !channel->client_gone &&
           channel->unsent == NULL;
}

/* Reads until the pipe is empty, or chunk or window is full: a job writes a few KiB at a time, and
 * each send costs an encryption and a system call. */
static size_t fill_chunk(int *fd, char *chunk, size_t room)
{
    size_t filled = 0;
    while (filled < room) {
        ssize_t got = read(*fd, chunk + filled, room - filled);
        if (got > 0) {
            filled += (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            cleanup_fd_fn(fd);
            break;
        } else if (errno == EAGAIN) {
            break;
        }
    }
    return filled;
}

/* Returns how much libssh took: everything, except during a key exchange. */
static size_t send_output(struct channel *channel, const char *bytes, size_t length, bool is_stderr)
{
    size_t sent = 0;
    while (sent < length) {
        uint32_t left = (uint32_t)(length - sent);
        int written = is_stderr ? ssh_channel_write_stderr(channel->ssh, bytes + sent, left)
                                : ssh_channel_write(channel->ssh, bytes + sent, left);
        if (written < 0) {
            log_debug("%s: channel %d: cannot send: %s", channel->session->setup->peer,
                      channel->number, ssh_get_error(channel->session->ssh));
            return length; /* the loop sees that the session has ended */
        }
        if (written == 0) {
            break;
        }
        sent += (size_t)written;
        channel->out_bytes += written;
    }
    return sent;
}

static void send_held_back(struct channel *channel)
{
    if (channel->unsent == NULL || ssh_channel_window_size(channel->ssh) == 0) {
        return;
    }
    size_t sent =
        send_output(channel, channel->unsent, channel->unsent_length, channel->unsent_is_stderr);
    channel->unsent_length -= sent;
    memmove(channel->unsent, channel->unsent + sent, channel->unsent_length);
    if (channel->unsent_length == 0) {
        free(channel->unsent);
        channel->unsent = NULL;
    }
}

static void move_output(struct channel *channel, int *fd, bool is_stderr)
{
    if (*fd < 0 || !may_send(channel)) {
        return;
    }
    char *chunk = channel->session->chunk;
    size_t room = ssh_channel_window_size(channel->ssh);
    room = room < LIMIT_OUTPUT_CHUNK_BYTES ? room : LIMIT_OUTPUT_CHUNK_BYTES;
    size_t filled = fill_chunk(fd, chunk, room);
    if (filled > 0) {
        session_chunk_used(channel->session);
        drain_read(&channel->drain, is_stderr ? 1 : 0, filled);
    }
    size_t sent = send_output(channel, chunk, filled, is_stderr);
    if (sent == filled) {
        return;
    }
    channel->unsent = malloc(filled - sent);
    if (channel->unsent == NULL) {
        log_error("%s: channel %d: out of memory, disconnecting", channel->session->setup->peer,
                  channel->number);
        session_set_state(channel->session, SESSION_CLOSED);
        return;
    }
    memcpy(channel->unsent, chunk + sent, filled - sent);
    channel->unsent_length = filled - sent;
    channel->unsent_is_stderr = is_stderr;
}

/* A terminal has no end of input: type its end-of-file character, twice after an incomplete line. A
 * job that has turned off line editing reads it as a character. */
static bool type_end_of_input(struct channel *channel)
{
    int character = terminal_modes_end_of_input(&channel->modes);
    if (!channel->wants_terminal || channel->end_typed || channel->stdin_fd < 0 || character < 0) {
        return false;
    }
    channel->end_typed = true;
    channel->input_length = channel->in_line ? 2 : 1;
    memset(channel->input, character, channel->input_length);
    return true;
}

/* Reads the next input from libssh, which only then enlarges the window: a job that does not read
 * stops its client. */
static bool next_input(struct channel *channel)
{
    int got =
        ssh_channel_read_nonblocking(channel->ssh, channel->input, LIMIT_INPUT_CHUNK_BYTES, 0);
    channel->input_sent = 0;
    channel->input_length = got > 0 ? (size_t)got : 0;
    if (got > 0) {
        channel->in_line = channel->input[got - 1] != '\n' && channel->input[got - 1] != '\r';
    } else if (got == SSH_EOF || channel->input_ended) {
        if (type_end_of_input(channel)) {
            return true;
        }
        cleanup_fd_fn(&channel->stdin_fd);
    }
    return got > 0;
}

static void move_input(struct channel *channel)
{
    while (channel->stdin_fd >= 0) {
        if (channel->input_sent == channel->input_length && !next_input(channel)) {
            return;
        }
        ssize_t written = write(channel->stdin_fd, channel->input + channel->input_sent,
                                channel->input_length - channel->input_sent);
        if (written >= 0) {
            channel->input_sent += (size_t)written;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            cleanup_fd_fn(&channel->stdin_fd); /* the job closed its input */
        }
    }
    /* Discard input for a job that no longer reads, or the client would wait forever. */
    while (channel->state == CHANNEL_RUNNING && !channel->input_ended && next_input(channel)) {
    }
}

/* Once the last byte of output is counted. */
static void log_end(struct channel *channel)
{
    struct job_usage *usage = &channel->exited.usage;
    char who[160];
    if (channel->exited.type == 0) {
        return; /* no job, or its monitor logs the end */
    }
    usage->out_bytes = channel->out_bytes;
    (void)snprintf(who, sizeof(who), "%s: channel %d: job", channel->session->setup->peer,
                   channel->number);
    job_usage_log(who, channel->exited.number, channel->exited.ran_ms, usage);
}

void channel_release(struct channel *channel)
{
    log_end(channel);
    exec_channel_free(channel);
    resumable_channel_free(channel); /* reads the last frames, so before the SSH channel is freed */
    cleanup_fd_fn(&channel->job);
    cleanup_fd_fn(&channel->stdin_fd);
    cleanup_fd_fn(&channel->stdout_fd);
    cleanup_fd_fn(&channel->stderr_fd);
    free(channel->input);
    free(channel->unsent);
    buffer_done(&channel->variables);
    (void)ssh_remove_channel_callbacks(channel->ssh, &channel->callbacks);
    ssh_channel_free(channel->ssh); /* sends close if that was not done */
    memset(channel, 0, sizeof(*channel));
}

int channel_prepare(struct channel *channel, struct pollfd *entries)
{
    bool sending = may_send(channel);
    bool blocked = channel->input_sent < channel->input_length;
    bool listening = channel->state != CHANNEL_DRAINING;
    short ack = resumable_channel_ack_is_due(channel) ? POLLOUT : 0;
    entries[0] =
        (struct pollfd){.fd = listening ? channel->job : -1, .events = (short)(POLLIN | ack)};
    entries[1] = (struct pollfd){.fd = sending ? channel->stdout_fd : -1, .events = POLLIN};
    entries[2] = (struct pollfd){.fd = sending ? channel->stderr_fd : -1, .events = POLLIN};
    entries[3] = (struct pollfd){.fd = blocked ? channel->stdin_fd : -1, .events = POLLOUT};
    return 4;
}

/* True: the channel can be released. */
static bool service_plain_job(struct channel *channel)
{
    exec_channel_read(channel);
    receive_job_messages(channel);
    if (channel->state == CHANNEL_RUNNING) {
        move_input(channel);
    }
    if (channel->state == CHANNEL_RUNNING || channel->state == CHANNEL_DRAINING) {
        send_held_back(channel);
        move_output(channel, &channel->stdout_fd, false);
        move_output(channel, &channel->stderr_fd, true);
    }
    if (!channel->client_gone && channel->state == CHANNEL_DRAINING &&
        drain_is_over(&channel->drain, (int[]){channel->stdout_fd, channel->stderr_fd},
                      channel->unsent != NULL)) {
        channel_finish(channel);
        return true;
    }
    return channel->client_gone;
}

void channel_service(struct channel *channel)
{
    bool over = channel->resumable != NULL ? resumable_channel_service(channel)
                                           : service_plain_job(channel);
    if (over) {
        channel_release(channel);
    }
}
