/* SPDX-License-Identifier: MIT */
/*
 * channel.c - one session channel once its job was asked for: the job's bytes and its end.
 *
 * Order at the end of a job, always: the monitor reaped it, output read to its end (or dry past
 * the drain deadline), exit-status or exit-signal, EOF, close (RFC 4254, sections 6.10 and 5.3).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/session/session_private.h"
#include "agent/wire.h"
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
    channel->deadline_ms = clock_deadline_ms(channel->session->setup->options->drain_ms);
}

/* The wait status (wait(2)) of a process that exited with 'status'. */
static int exit_wait_status(int status)
{
    return status << 8;
}

/* The job never ran: the client sees why on stderr, and the status a shell would give. */
static void on_job_failed(struct channel *channel, int errnum)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "berth-agent: %s%s\n",
                          errnum == ENOPKG ? NO_SFTP_SERVER : "cannot start the command: ",
                          errnum == ENOPKG ? "" : strerror(errnum));
    (void)ssh_channel_write_stderr(channel->ssh, text, (uint32_t)length);
    begin_draining(channel, exit_wait_status(errnum == ENOENT || errnum == ENOPKG ? 127 : 126));
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
            log_error("%s: channel %d: the job's monitor died, reporting SIGKILL",
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

/* Reads until the pipe is dry or the chunk or the window full: a job writes a few KiB at a time,
 * and each send costs an encryption and a system call. */
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

/* Returns how much libssh took: all of it, unless new session keys are being agreed on. */
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
            return length; /* nobody can get it any more; the loop sees the session's end */
        }
        if (written == 0) {
            break;
        }
        sent += (size_t)written;
        channel->out_bytes += written;
    }
    return sent;
}

static void hold_back(struct channel *channel, const char *bytes, size_t length, bool is_stderr)
{
    channel->unsent = malloc(length);
    if (channel->unsent == NULL) {
        log_error("%s: channel %d: out of memory, disconnecting", channel->session->setup->peer,
                  channel->number);
        session_set_state(channel->session, SESSION_CLOSED);
        return;
    }
    memcpy(channel->unsent, bytes, length);
    channel->unsent_length = length;
    channel->unsent_is_stderr = is_stderr;
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
    }
    size_t sent = send_output(channel, chunk, filled, is_stderr);
    if (sent < filled) {
        hold_back(channel, chunk + sent, filled - sent, is_stderr);
    }
}

/* A terminal has no end of its own: what a person would type says it, after a piece of a line once
 * more. A job that turned line editing off takes it as it likes. */
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

/* What the client sent, piece by piece; libssh opens the window again as pieces are read, so a
 * job that does not read stops its client. */
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
    /* Input for a job that no longer reads: swallowed, or the client would wait for ever. */
    while (channel->state == CHANNEL_RUNNING && !channel->input_ended && next_input(channel)) {
    }
}

static bool is_dry(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return fd < 0 || poll(&entry, 1, 0) == 0;
}

static bool is_drained(struct channel *channel)
{
    if (channel->stdout_fd < 0 && channel->stderr_fd < 0 && channel->unsent == NULL) {
        return true;
    }
    if (clock_now_ms() < channel->deadline_ms) {
        return false;
    }
    /* A client that reads slowly has all the time it needs; only silence counts. */
    channel->deadline_ms = clock_deadline_ms(channel->session->setup->options->drain_ms);
    return channel->unsent == NULL && is_dry(channel->stdout_fd) && is_dry(channel->stderr_fd);
}

int channel_prepare(struct channel *channel, struct pollfd *entries)
{
    bool sending = may_send(channel) && !durable_channel_is_held_up(channel);
    bool blocked = channel->input_sent < channel->input_length;
    bool listening = channel->state != CHANNEL_DRAINING;
    short telling = durable_channel_wants_to_tell(channel) ? POLLOUT : 0;
    entries[0] =
        (struct pollfd){.fd = listening ? channel->job : -1, .events = (short)(POLLIN | telling)};
    entries[1] = (struct pollfd){.fd = sending ? channel->stdout_fd : -1, .events = POLLIN};
    entries[2] = (struct pollfd){.fd = sending ? channel->stderr_fd : -1, .events = POLLIN};
    entries[3] = (struct pollfd){.fd = blocked ? channel->stdin_fd : -1, .events = POLLOUT};
    return 4;
}

void channel_service(struct channel *channel)
{
    if (channel->durable != NULL) {
        durable_channel_service(channel);
        return;
    }
    receive_job_messages(channel);
    if (channel->state == CHANNEL_RUNNING) {
        move_input(channel);
    }
    if (channel->state == CHANNEL_RUNNING || channel->state == CHANNEL_DRAINING) {
        send_held_back(channel);
        move_output(channel, &channel->stdout_fd, false);
        move_output(channel, &channel->stderr_fd, true);
    }
    if (channel->client_gone) {
        channel_release(channel);
    } else if (channel->state == CHANNEL_DRAINING && is_drained(channel)) {
        channel_finish(channel);
    }
}
