/* SPDX-License-Identifier: MIT */
/* ssh_exec.c - a plain command, or a shell in a terminal, that lives as long as its link. */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "driver/link_channel.h"
#include "driver/output.h"
#include "driver/stop.h"

enum { STREAM_STDOUT, STREAM_STDERR, STREAM_COUNT };

/* One command from its request to its exit report. Lives on ssh_link_run()'s stack. */
struct remote {
    struct ssh_link *link;
    const struct ssh_request *request;
    ssh_channel channel;
    ssh_event event;
    struct output outputs[STREAM_COUNT];
    struct inflow inflows[STREAM_COUNT];
    size_t input_sent;            /* of request->input */
    char chunk[LINK_CHUNK_BYTES]; /* read from request->input_fd */
    size_t chunk_length, chunk_sent;
    bool input_wanted; /* request->input_fd has not ended, and the window has room */
    bool input_ended;  /* EOF was sent */
    bool exited;
    bool ended; /* the other side sends no more bytes */
    struct ssh_outcome outcome;
    struct stop stop;
    struct keepalive keepalive;
};

static int on_data(ssh_session session, ssh_channel channel, void *bytes, uint32_t length,
                   int is_stderr, void *userdata)
{
    (void)session;
    (void)channel;
    struct remote *remote = userdata;
    return inflow_offer(&remote->inflows[is_stderr ? STREAM_STDERR : STREAM_STDOUT], bytes, length);
}

static size_t take_output(void *context, const char *bytes, size_t length)
{
    return output_write(context, bytes, length);
}

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *userdata)
{
    (void)session;
    (void)channel;
    struct remote *remote = userdata;
    remote->exited = true;
    remote->outcome.status = status;
}

static void on_exit_signal(ssh_session session, ssh_channel channel, const char *name, int core,
                           const char *message, const char *language, void *userdata)
{
    (void)session;
    (void)channel;
    (void)core;
    (void)message;
    (void)language;
    struct remote *remote = userdata;
    remote->exited = true;
    (void)snprintf(remote->outcome.signal, sizeof(remote->outcome.signal), "%s",
                   name != NULL && name[0] != '\0' ? name : "?");
}

static void on_end(ssh_session session, ssh_channel channel, void *userdata)
{
    (void)session;
    (void)channel;
    ((struct remote *)userdata)->ended = true;
}

/* Everything that matters has come in; what is left to do is to pass it on. The connection is
 * not looked at any more: an error on it would make libssh refuse what it already holds. */
static bool received_all(const struct remote *remote)
{
    return remote->exited && remote->ended;
}

static int lost(struct remote *remote, struct error *err)
{
    const char *why = ssh_get_error(remote->link->session);
    return error_set(err, ERROR_SYSTEM, 0,
                     "the connection to the task at %s was lost while the job ran%s%s",
                     remote->link->name, why[0] != '\0' ? ": " : "", why);
}

static bool drained(struct remote *remote)
{
    return !remote->inflows[STREAM_STDOUT].held && !remote->inflows[STREAM_STDERR].held &&
           ssh_channel_is_eof(remote->channel);
}

static bool channel_takes_input(struct remote *remote)
{
    return !remote->exited && link_takes_bytes(remote->link, remote->channel);
}

static void end_input(struct remote *remote)
{
    if (!remote->input_ended && ssh_channel_is_open(remote->channel)) {
        (void)ssh_channel_send_eof(remote->channel); /* a dead link shows in the loop */
    }
    remote->input_ended = true;
    remote->input_wanted = false;
}

/* Sends what window and socket take now of bytes of which '*sent' are gone already. Returns whether
 * all of them are. */
static bool send_input(struct remote *remote, const char *bytes, size_t length, size_t *sent)
{
    while (*sent < length && channel_takes_input(remote)) {
        size_t left = length - *sent;
        int taken =
            ssh_channel_write(remote->channel, bytes + *sent,
                              (uint32_t)(left < LINK_CHUNK_BYTES ? left : LINK_CHUNK_BYTES));
        if (taken <= 0) {
            break; /* a key exchange, or a dead link, which shows in the loop */
        }
        *sent += (size_t)taken;
    }
    return *sent == length;
}

static void forget_chunk(struct remote *remote)
{
    sodium_memzero(remote->chunk, remote->chunk_length);
    remote->chunk_length = 0;
    remote->chunk_sent = 0;
}

/* The descriptor is read only when nothing of it is left to send. */
static void pump_input(struct remote *remote)
{
    const struct ssh_request *request = remote->request;
    remote->input_wanted = false;
    if (remote->input_ended ||
        !send_input(remote, request->input, request->input_length, &remote->input_sent) ||
        !send_input(remote, remote->chunk, remote->chunk_length, &remote->chunk_sent)) {
        return;
    }
    forget_chunk(remote);
    if (channel_takes_input(remote)) {
        remote->input_wanted = request->input_fd >= 0;
        if (!remote->input_wanted) {
            end_input(remote);
        }
    }
}

static void read_input(struct remote *remote)
{
    ssize_t got = read(remote->request->input_fd, remote->chunk, sizeof(remote->chunk));
    if (got > 0) {
        remote->chunk_length = (size_t)got;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(remote);
    }
}

static void send_signal(struct remote *remote, const char *name)
{
    if (!remote->exited) {
        (void)ssh_channel_request_send_signal(remote->channel, name); /* a dead link shows */
    }
}

static int end_job(struct remote *remote, struct error *err)
{
    const struct ssh_request *request = remote->request;
    return request->end_job == NULL ? 0 : request->end_job(request->end_context, err);
}

/* A request to stop, and an output that nobody reads any more, end the job. */
static int check_stop(struct remote *remote, struct error *err)
{
    bool unread = remote->outputs[STREAM_STDOUT].failed_errno != 0;
    if (!remote->stop.asked && (unread || signals_pending(remote->request->signals))) {
        remote->outcome.cancelled = !unread && !remote->exited;
        if (remote->request->signals != NULL) {
            signals_acknowledge(remote->request->signals);
        }
        stop_ask(&remote->stop, clock_now_ms());
    }
    switch (stop_next(&remote->stop, clock_now_ms())) {
    case STOP_TERM:
        send_signal(remote, "TERM");
        return end_job(remote, err);
    case STOP_KILL:
        send_signal(remote, "KILL");
        break;
    case STOP_GIVE_UP:
        return error_set(err, ERROR_SYSTEM, 0,
                         remote->exited
                             ? "nobody reads the output of the job that ended in the task at %s"
                             : "the job was told to stop and then killed, but the task at %s did "
                               "not confirm its end",
                         remote->link->name);
    case STOP_NOTHING:
        break;
    }
    return 0;
}

static int check_keepalive(struct remote *remote, struct error *err)
{
    if (received_all(remote) || keepalive_check(&remote->keepalive, err) == 0) {
        return 0;
    }
    return error_wrap(err, "the connection to the task at %s was lost while the job ran",
                      remote->link->name);
}

static int64_t next_deadline(const struct remote *remote)
{
    int64_t alive_ms =
        received_all(remote) ? CLOCK_NEVER : keepalive_deadline_ms(&remote->keepalive);
    return clock_earlier_ms(alive_ms, stop_deadline_ms(&remote->stop));
}

static int output_poll_fd(const struct remote *remote, int stream)
{
    return remote->inflows[stream].held ? remote->outputs[stream].fd : -1;
}

static void resize(struct remote *remote)
{
    struct terminal_size size = {0};
    if (terminal_changed(remote->request->terminal, &size)) {
        (void)ssh_channel_change_pty_size(remote->channel, size.columns, size.rows);
    }
}

/* Waits for anything to do and does the part of it that has to do with descriptors. */
static int wait_and_dispatch(struct remote *remote, struct error *err)
{
    ssh_session session = remote->link->session;
    const struct ssh_request *request = remote->request;
    struct signals *signals = request->signals;
    bool writing = (ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0;
    int64_t pause_ms = clock_earlier_ms(inflow_pause_ms(&remote->inflows[STREAM_STDOUT]),
                                        inflow_pause_ms(&remote->inflows[STREAM_STDERR]));
    bool looking = !received_all(remote) && pause_ms == CLOCK_NEVER;
    struct pollfd entries[] = {
        {.fd = looking ? ssh_get_fd(session) : -1,
         .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        {.fd = signals == NULL || signals->acknowledged ? -1 : signals->fd, .events = POLLIN},
        {.fd = remote->input_wanted ? request->input_fd : -1, .events = POLLIN},
        {.fd = output_poll_fd(remote, STREAM_STDOUT), .events = POLLOUT},
        {.fd = output_poll_fd(remote, STREAM_STDERR), .events = POLLOUT},
        {.fd = request->terminal == NULL ? -1 : request->terminal->events_fd, .events = POLLIN},
    };
    if (poll(entries, sizeof(entries) / sizeof(entries[0]),
             clock_poll_timeout(clock_earlier_ms(pause_ms, next_deadline(remote)))) < 0) {
        return errno == EINTR ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot wait for the job");
    }
    if (entries[0].revents != 0) {
        (void)ssh_event_dopoll(remote->event, 0); /* its result does not tell a dead link */
    }
    if (entries[2].revents != 0) {
        read_input(remote);
    }
    if (entries[5].revents != 0) {
        resize(remote);
    }
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        bool may_write = entries[3 + stream].revents != 0 || output_poll_fd(remote, stream) < 0;
        if (may_write && inflow_flush(&remote->inflows[stream]) < 0 &&
            !ssh_link_healthy(remote->link)) {
            return lost(remote, err);
        }
    }
    return 0;
}

static int run_to_exit(struct remote *remote, struct error *err)
{
    for (;;) {
        pump_input(remote);
        if (received_all(remote) && drained(remote)) {
            return 0;
        }
        if (!remote->exited && drained(remote) && ssh_channel_is_closed(remote->channel)) {
            return error_set(err, ERROR_SYSTEM, 0,
                             "the task at %s closed the job's channel without an exit status",
                             remote->link->name);
        }
        if (!received_all(remote) && !ssh_link_healthy(remote->link)) {
            return lost(remote, err);
        }
        if (wait_and_dispatch(remote, err) < 0 || check_stop(remote, err) < 0 ||
            check_keepalive(remote, err) < 0) {
            return -1;
        }
    }
}

static int ask_for_terminal(ssh_channel channel, const void *context)
{
    const struct terminal *terminal = context;
    const char *type = getenv("TERM");
    return ssh_channel_request_pty_size(channel, type != NULL && type[0] != '\0' ? type : "dumb",
                                        terminal->size.columns, terminal->size.rows);
}

static int ask_for_command(ssh_channel channel, const void *context)
{
    const struct ssh_request *request = context;
    return request->command == NULL ? ssh_channel_request_shell(channel)
                                    : ssh_channel_request_exec(channel, request->command);
}

/* Opens the channel and starts the command; nothing of the job runs when this fails. */
static int start_command(struct remote *remote, struct error *err)
{
    const struct ssh_request *request = remote->request;
    int64_t deadline_ms = clock_deadline_ms(request->start_ms);
    if (link_do(remote->link, remote->channel, link_open_session, NULL, request->signals,
                deadline_ms, err) < 0 ||
        (request->terminal != NULL &&
         link_do(remote->link, remote->channel, ask_for_terminal, request->terminal,
                 request->signals, deadline_ms, err) < 0)) {
        return -1;
    }
    if (link_do(remote->link, remote->channel, ask_for_command, request, request->signals,
                deadline_ms, err) < 0) {
        return -1;
    }
    return request->terminal == NULL ? 0 : terminal_make_raw(request->terminal, err);
}

static int open_streams(struct remote *remote, struct error *err)
{
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
    int result = 0;
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        struct inflow *inflow = &remote->inflows[stream];
        output_open(&remote->outputs[stream], fds[stream]);
        inflow->channel = remote->channel;
        inflow->is_stderr = stream == STREAM_STDERR;
        inflow->take = take_output;
        inflow->context = &remote->outputs[stream];
        result = result == 0 ? inflow_open(inflow, err) : result;
    }
    return result;
}

static int close_streams(struct remote *remote, struct error *err)
{
    int failed_errno = remote->outputs[STREAM_STDOUT].failed_errno;
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        output_done(&remote->outputs[stream]);
        inflow_done(&remote->inflows[stream]);
    }
    return failed_errno == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, failed_errno, "cannot pass on the job's output");
}

/* With the callbacks in place, which must go before 'remote' does. */
static int run_with_callbacks(struct remote *remote, struct error *err)
{
    struct ssh_channel_callbacks_struct callbacks = {
        .userdata = remote,
        .channel_data_function = on_data,
        .channel_eof_function = on_end,
        .channel_close_function = on_end,
        .channel_exit_status_function = on_exit_status,
        .channel_exit_signal_function = on_exit_signal,
    };
    ssh_callbacks_init(&callbacks);
    if (ssh_set_channel_callbacks(remote->channel, &callbacks) != SSH_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(remote->link->session));
    }
    int result = start_command(remote, err);
    if (result < 0) {
        (void)error_wrap(err, "cannot start the job in the task at %s", remote->link->name);
    } else if (ssh_event_add_session(remote->event, remote->link->session) != SSH_OK) {
        result = error_set(err, ERROR_SYSTEM, 0, "cannot watch the connection");
    } else {
        result = run_to_exit(remote, err);
        (void)ssh_event_remove_session(remote->event, remote->link->session);
    }
    (void)ssh_remove_channel_callbacks(remote->channel, &callbacks);
    return result;
}

int ssh_link_run(struct ssh_link *link, const struct ssh_request *request,
                 struct ssh_outcome *out_outcome, struct error *err)
{
    struct remote remote = {
        .link = link,
        .request = request,
        .channel = ssh_channel_new(link->session),
        .event = ssh_event_new(),
    };
    int result = -1;
    stop_init(&remote.stop, request->grace_ms);
    if (remote.channel == NULL || remote.event == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot start the job");
    } else {
        keepalive_begin(&remote.keepalive, link, request->keepalive_ms);
        result = open_streams(&remote, err);
        result = result == 0 ? run_with_callbacks(&remote, err) : result;
        if (close_streams(&remote, result == 0 ? err : NULL) < 0) {
            result = -1;
        }
        keepalive_end(&remote.keepalive);
        forget_chunk(&remote);
    }
    ssh_event_free(remote.event);
    ssh_channel_free(remote.channel);
    if (result == 0) {
        *out_outcome = remote.outcome;
    }
    return result;
}
