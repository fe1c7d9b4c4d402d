/* SPDX-License-Identifier: MIT */
/*
 * channel.c - one session channel: its requests, its job's bytes, its end.
 *
 * Order at the end of a job, always: the monitor reaped it, output read to its end (or dry past
 * the drain deadline), exit-status or exit-signal, EOF, close (RFC 4254, sections 6.10 and 5.3).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/request.h"
#include "agent/session/accept_env.h"
#include "agent/session/session_private.h"
#include "agent/session/subsystem.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#define NO_SFTP_SERVER \
    "no sftp-server in this image; install one (openssh-sftp-server), or use 'scp -O'"

/* RFC 4254, section 6.10: names without "SIG". */
static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
    {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
    {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
};
#define SIGNAL_NAMES (sizeof(signal_names) / sizeof(signal_names[0]))

const char *channel_signal_name(int number)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        if (signal_names[i].number == number) {
            return signal_names[i].name;
        }
    }
    return NULL;
}

int channel_signal_number(const char *name, size_t length)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        if (strlen(signal_names[i].name) == length &&
            memcmp(signal_names[i].name, name, length) == 0) {
            return signal_names[i].number;
        }
    }
    return 0;
}

static void send_exit(struct channel *channel)
{
    int status = channel->wait_status;
    if (!WIFSIGNALED(status)) {
        (void)ssh_channel_request_send_exit_status(channel->ssh, WEXITSTATUS(status));
        return;
    }
    const char *name = channel_signal_name(WTERMSIG(status));
    if (name != NULL) {
        (void)ssh_channel_request_send_exit_signal(channel->ssh, name, WCOREDUMP(status), "", "");
        return;
    }
    /* A signal that SSH has no name for: as a shell tells it. */
    (void)ssh_channel_request_send_exit_status(channel->ssh, 128 + WTERMSIG(status));
}

/* Told when the last byte of output is counted. */
static void log_end(struct channel *channel)
{
    struct job_usage *usage = &channel->exited.usage;
    int status = channel->exited.number;
    bool signalled = WIFSIGNALED(status);
    char text[USAGE_TEXT_BYTES];
    if (channel->exited.type == 0) {
        return; /* no job, or its monitor tells */
    }
    usage->out_bytes = channel->out_bytes;
    usage_describe(usage, text);
    log_line(usage->oom_kills > 0 ? LOG_WARN : LOG_INFO,
             "%s: channel %d: job ended with %s %d after %.3f s, %s", channel->session->setup->peer,
             channel->number, signalled ? "signal" : "status",
             signalled ? WTERMSIG(status) : WEXITSTATUS(status),
             (double)channel->exited.ran_ms / 1000.0, text);
}

void channel_release(struct channel *channel)
{
    log_end(channel);
    durable_channel_free(channel);
    cleanup_fd_fn(&channel->job);
    cleanup_fd_fn(&channel->stdin_fd);
    cleanup_fd_fn(&channel->stdout_fd);
    cleanup_fd_fn(&channel->stderr_fd);
    free(channel->input);
    free(channel->unsent);
    buffer_done(&channel->variables);
    (void)ssh_remove_channel_callbacks(channel->ssh, &channel->callbacks);
    ssh_channel_free(channel->ssh); /* sends close unless that was done */
    memset(channel, 0, sizeof(*channel));
}

void channel_finish(struct channel *channel)
{
    send_exit(channel);
    (void)ssh_channel_send_eof(channel->ssh);
    (void)ssh_channel_close(channel->ssh);
    channel_release(channel);
}

/* Hands the request to init together with one end of a new job socket. */
static int ask_init(struct channel *channel, const struct job_request *request)
{
    struct wire_message message = {.type = WIRE_JOB_START};
    int ends[2] = {-1, -1};
    int result = -1;
    cleanup_fd int file = job_request_write(request);
    if (file >= 0 && wire_pair(ends) == 0) {
        int fds[] = {file, ends[1]};
        result = wire_send(channel->session->control, &message, fds, 2);
    }
    cleanup_fd_fn(&ends[1]);
    channel->job = ends[0];
    return result;
}

/* A copy; NULL stays NULL. Memory running out is noted. */
static char *copy(const char *text, bool *failed)
{
    char *result = text == NULL ? NULL : strdup(text);
    *failed = *failed || (text != NULL && result == NULL);
    return result;
}

int channel_start(struct channel *channel, const char *command, const char *subsystem)
{
    struct session *session = channel->session;
    if (channel->state != CHANNEL_OPEN || session->shutting_down) {
        return 1; /* a second exec on one channel, or too late: refused */
    }
    bool failed = false;
    struct job_request request = {
        .user = copy(session->user, &failed),
        .command = copy(command, &failed),
        .subsystem = copy(subsystem, &failed),
        .variables = copy(channel->variables.bytes, &failed),
        .term = copy(channel->wants_terminal ? channel->term : NULL, &failed),
        .size = channel->size,
        .client = copy(session->setup->client, &failed),
    };
    failed = failed || ask_init(channel, &request) < 0;
    job_request_done(&request);
    if (failed) {
        log_error("%s: cannot ask for a job: %m, refusing", session->setup->peer);
        cleanup_fd_fn(&channel->job);
        return 1;
    }
    log_debug("%s: channel %d: job asked for", session->setup->peer, channel->number);
    channel->state = CHANNEL_STARTING;
    return 0;
}

static int on_exec(ssh_session ssh, ssh_channel ssh_channel, const char *command, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return channel_start(userdata, command, NULL);
}

static int on_shell(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return channel_start(userdata, NULL, NULL);
}

static int on_subsystem(ssh_session ssh, ssh_channel ssh_channel, const char *name, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return subsystem_start(userdata, name);
}

static int on_env(ssh_session ssh, ssh_channel ssh_channel, const char *name, const char *value,
                  void *userdata)
{
    struct channel *channel = userdata;
    const struct session_setup *setup = channel->session->setup;
    (void)ssh;
    (void)ssh_channel;
    if (channel->state != CHANNEL_OPEN ||
        !accept_env_add(setup->options->accept_env, name, value, &channel->variables)) {
        log_debug("%s: channel %d: refused variable '%s'", setup->peer, channel->number, name);
        return 1;
    }
    return 0;
}

/* SSH has 32 bits for each figure, the kernel 16. */
static struct terminal_size terminal_size_of(int columns, int rows, int width, int height)
{
    const int figures[] = {columns, rows, width, height};
    uint16_t fitting[4];
    for (int i = 0; i < 4; i++) {
        fitting[i] = figures[i] < 0 || figures[i] > UINT16_MAX ? 0 : (uint16_t)figures[i];
    }
    return (struct terminal_size){fitting[0], fitting[1], fitting[2], fitting[3]};
}

static int on_terminal(ssh_session ssh, ssh_channel ssh_channel, const char *term, int columns,
                       int rows, int width, int height, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    if (channel->state != CHANNEL_OPEN || strlen(term) >= sizeof(channel->term)) {
        return 1;
    }
    memcpy(channel->term, term, strlen(term) + 1);
    channel->size = terminal_size_of(columns, rows, width, height);
    channel->wants_terminal = true;
    return 0;
}

static int on_resize(ssh_session ssh, ssh_channel ssh_channel, int columns, int rows, int width,
                     int height, void *userdata)
{
    struct channel *channel = userdata;
    struct wire_message message = {.type = WIRE_JOB_RESIZE,
                                   .size = terminal_size_of(columns, rows, width, height)};
    (void)ssh;
    (void)ssh_channel;
    channel->size = message.size;
    if (channel->job >= 0) {
        (void)wire_send(channel->job, &message, NULL, 0); /* too late for a job that ended */
    }
    return 0;
}

static void on_signal(ssh_session ssh, ssh_channel ssh_channel, const char *name, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    int number = channel_signal_number(name, strlen(name));
    if (number != 0 && channel->job >= 0) {
        struct wire_message message = {.type = WIRE_JOB_SIGNAL, .number = number};
        log_info("%s: channel %d: signal %s", channel->session->setup->peer, channel->number, name);
        (void)wire_send(channel->job, &message, NULL, 0); /* too late for a job that ended */
    }
}

static void on_eof(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    channel->input_ended = true;
}

static void on_close(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    channel->client_gone = true; /* released by the loop: never free a channel in its callback */
}

ssh_channel channel_accept(ssh_session ssh, void *userdata)
{
    struct session *session = userdata;
    struct channel *channel = NULL;
    int most = (int)session->setup->options->max_sessions;
    for (int i = 0; i < most && channel == NULL; i++) {
        channel = session->channels[i].state == CHANNEL_FREE ? &session->channels[i] : NULL;
    }
    if (session->state != SESSION_OPEN || session->shutting_down || channel == NULL) {
        return NULL;
    }
    *channel = (struct channel){
        .session = session,
        .number = ++session->channels_opened,
        .job = -1,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .input = malloc(LIMIT_INPUT_CHUNK_BYTES),
        .ssh = ssh_channel_new(ssh),
    };
    if (channel->ssh == NULL || channel->input == NULL) {
        ssh_channel_free(channel->ssh);
        free(channel->input);
        memset(channel, 0, sizeof(*channel));
        return NULL;
    }
    buffer_init(&channel->variables, LIMIT_ENVIRONMENT_BYTES);
    channel->callbacks.userdata = channel;
    channel->callbacks.channel_exec_request_function = on_exec;
    channel->callbacks.channel_shell_request_function = on_shell;
    channel->callbacks.channel_subsystem_request_function = on_subsystem;
    channel->callbacks.channel_env_request_function = on_env;
    channel->callbacks.channel_pty_request_function = on_terminal;
    channel->callbacks.channel_pty_window_change_function = on_resize;
    channel->callbacks.channel_signal_function = on_signal;
    channel->callbacks.channel_eof_function = on_eof;
    channel->callbacks.channel_close_function = on_close;
    ssh_callbacks_init(&channel->callbacks);
    (void)ssh_set_channel_callbacks(channel->ssh, &channel->callbacks);
    channel->state = CHANNEL_OPEN;
    return channel->ssh;
}

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
    size_t sent = send_output(channel, chunk, filled, is_stderr);
    if (sent < filled) {
        hold_back(channel, chunk + sent, filled - sent, is_stderr);
    }
}

/* What the client sent, piece by piece; libssh opens the window again as pieces are read, so a
 * job that does not read stops its client. */
static bool next_input(struct channel *channel)
{
    int got =
        ssh_channel_read_nonblocking(channel->ssh, channel->input, LIMIT_INPUT_CHUNK_BYTES, 0);
    channel->input_sent = 0;
    channel->input_length = got > 0 ? (size_t)got : 0;
    if (got == SSH_EOF || (got == 0 && channel->input_ended)) {
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
    bool sending = may_send(channel);
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
