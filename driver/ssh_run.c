/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libssh/callbacks.h>
#include <libssh/server.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "driver/output.h"
#include "driver/ssh_private.h"

#define CHUNK_BYTES      32768 /* one SSH packet */
#define KILL_AFTER_MS    2000  /* the agent itself kills after its grace period: let it */
#define GIVE_UP_AFTER_MS 5000  /* from KILL to the end of our patience */
#define KEEPALIVE_MISSES 3

enum { STREAM_STDOUT, STREAM_STDERR, STREAM_COUNT };

/* One command from its request to its exit report. Lives on ssh_link_run()'s stack. */
struct remote {
    struct ssh_link *link;
    const struct ssh_request *request;
    ssh_channel channel;
    ssh_event event;
    struct output outputs[STREAM_COUNT];
    char *pending[STREAM_COUNT]; /* taken from libssh, not yet by the output; CHUNK_BYTES each */
    size_t pending_length[STREAM_COUNT];
    size_t input_sent; /* of request->input */
    bool input_wanted; /* request->input_fd has not ended, and the window has room */
    bool input_ended;  /* EOF was sent */
    bool exited;
    bool ended; /* the other side sends no more bytes */
    struct ssh_outcome outcome;
    bool stopping;
    int64_t kill_ms, give_up_ms, keepalive_ms;
    bool keepalive_sent;
    int missed;
    struct ssh_counter_struct received; /* raw bytes of the socket, for the keepalive */
    uint64_t seen_bytes;
};

static int on_data(ssh_session session, ssh_channel channel, void *bytes, uint32_t length,
                   int is_stderr, void *userdata)
{
    (void)session;
    (void)channel;
    struct remote *remote = userdata;
    int stream = is_stderr ? STREAM_STDERR : STREAM_STDOUT;
    if (remote->pending_length[stream] > 0 || remote->outputs[stream].blocked) {
        return 0; /* stays in libssh, which opens the window only for what was taken */
    }
    return (int)output_write(&remote->outputs[stream], bytes, length);
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

/* Moves what libssh holds to the output until one of them has no more to give. */
static int flush_stream(struct remote *remote, int stream)
{
    struct output *output = &remote->outputs[stream];
    char *pending = remote->pending[stream];
    for (;;) {
        size_t taken = output_write(output, pending, remote->pending_length[stream]);
        remote->pending_length[stream] -= taken;
        memmove(pending, pending + taken, remote->pending_length[stream]);
        if (remote->pending_length[stream] > 0) {
            return 0;
        }
        /* Reading may take in packets and call on_data(): only behind what is already there. */
        output->blocked = true;
        int got = ssh_channel_read_nonblocking(remote->channel, pending, CHUNK_BYTES,
                                               stream == STREAM_STDERR);
        output->blocked = false;
        if (got <= 0) {
            return got == SSH_ERROR && !ssh_link_healthy(remote->link) ? -1 : 0;
        }
        remote->pending_length[stream] = (size_t)got;
    }
}

static bool drained(struct remote *remote)
{
    return remote->pending_length[STREAM_STDOUT] == 0 &&
           remote->pending_length[STREAM_STDERR] == 0 && ssh_channel_is_eof(remote->channel);
}

static bool channel_takes_input(struct remote *remote)
{
    return !remote->exited && ssh_channel_is_open(remote->channel) &&
           ssh_channel_window_size(remote->channel) > 0 &&
           (ssh_get_status(remote->link->session) & SSH_WRITE_PENDING) == 0;
}

static void end_input(struct remote *remote)
{
    if (!remote->input_ended && ssh_channel_is_open(remote->channel)) {
        (void)ssh_channel_send_eof(remote->channel); /* a dead link shows in the loop */
    }
    remote->input_ended = true;
    remote->input_wanted = false;
}

/* Sends as much of the input as window and socket take now. */
static void pump_input(struct remote *remote)
{
    const struct ssh_request *request = remote->request;
    remote->input_wanted = false;
    while (!remote->input_ended && channel_takes_input(remote)) {
        size_t left = request->input_length - remote->input_sent;
        if (left == 0) {
            remote->input_wanted = request->input_fd >= 0;
            if (!remote->input_wanted) {
                end_input(remote);
            }
            return;
        }
        int sent =
            ssh_channel_write(remote->channel, (const char *)request->input + remote->input_sent,
                              (uint32_t)(left < CHUNK_BYTES ? left : CHUNK_BYTES));
        if (sent <= 0) {
            return;
        }
        remote->input_sent += (size_t)sent;
    }
}

/* The descriptor has bytes and the window has room: no more than that room is read. */
static void copy_input(struct remote *remote)
{
    char chunk[CHUNK_BYTES];
    uint32_t window = ssh_channel_window_size(remote->channel);
    size_t wanted = window < sizeof(chunk) ? window : sizeof(chunk);
    ssize_t got = read(remote->request->input_fd, chunk, wanted);
    if (got > 0) {
        (void)ssh_channel_write(remote->channel, chunk, (uint32_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(remote);
    }
    sodium_memzero(chunk, got > 0 ? (size_t)got : 0);
}

static void send_signal(struct remote *remote, const char *name)
{
    if (!remote->exited) {
        (void)ssh_channel_request_send_signal(remote->channel, name); /* a dead link shows */
    }
}

static void request_stop(struct remote *remote, int64_t grace_ms)
{
    remote->stopping = true;
    remote->kill_ms = clock_deadline_ms(grace_ms + KILL_AFTER_MS);
    remote->give_up_ms = remote->kill_ms + GIVE_UP_AFTER_MS;
    send_signal(remote, "TERM");
}

/* A request to stop, and an output that nobody reads any more, end the job. */
static int check_stop(struct remote *remote, struct error *err)
{
    int64_t now_ms = clock_now_ms();
    bool unread = remote->outputs[STREAM_STDOUT].failed_errno != 0;
    if (!remote->stopping && (unread || signals_pending(remote->request->signals))) {
        remote->outcome.cancelled = !unread && !remote->exited;
        if (remote->request->signals != NULL) {
            signals_acknowledge(remote->request->signals);
        }
        request_stop(remote, remote->request->grace_ms);
    }
    if (remote->stopping && now_ms >= remote->kill_ms) {
        remote->kill_ms = CLOCK_NEVER;
        send_signal(remote, "KILL");
    }
    if (remote->stopping && now_ms >= remote->give_up_ms) {
        return error_set(err, ERROR_SYSTEM, 0,
                         remote->exited
                             ? "nobody reads the output of the job that ended in the task at %s"
                             : "the job was told to stop and then killed, but the task at %s did "
                               "not confirm its end",
                         remote->link->name);
    }
    return 0;
}

/* ssh_global_request() keeps a finished request until it is asked again, so a keepalive takes two
 * calls: one that collects the last answer, and one that sends. */
static int check_keepalive(struct remote *remote, struct error *err)
{
    int64_t period_ms = remote->request->keepalive_ms;
    if (period_ms <= 0 || received_all(remote) || clock_now_ms() < remote->keepalive_ms) {
        return 0;
    }
    remote->keepalive_ms = clock_deadline_ms(period_ms);
    bool heard = remote->received.in_bytes != remote->seen_bytes;
    remote->seen_bytes = remote->received.in_bytes;
    remote->missed = heard ? 0 : remote->missed + 1;
    if (remote->missed >= KEEPALIVE_MISSES) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the connection to the task at %s was lost while the job ran: no sign of "
                         "life for %lld s",
                         remote->link->name, (long long)(period_ms * KEEPALIVE_MISSES / 1000));
    }
    if (remote->keepalive_sent) {
        (void)ssh_send_keepalive(remote->link->session);
        remote->seen_bytes = remote->received.in_bytes;
    }
    remote->keepalive_sent = true;
    (void)ssh_send_keepalive(remote->link->session);
    return 0;
}

static int64_t next_deadline(const struct remote *remote)
{
    int64_t deadline_ms = remote->request->keepalive_ms > 0 ? remote->keepalive_ms : CLOCK_NEVER;
    if (remote->stopping) {
        deadline_ms = clock_earlier_ms(deadline_ms, remote->kill_ms);
        deadline_ms = clock_earlier_ms(deadline_ms, remote->give_up_ms);
    }
    return deadline_ms;
}

static int output_poll_fd(const struct remote *remote, int stream)
{
    return remote->pending_length[stream] > 0 || remote->outputs[stream].blocked
               ? remote->outputs[stream].fd
               : -1;
}

/* Waits for anything to do and does the part of it that has to do with descriptors. */
static int wait_and_dispatch(struct remote *remote, struct error *err)
{
    ssh_session session = remote->link->session;
    struct signals *signals = remote->request->signals;
    bool writing = (ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0;
    struct pollfd entries[] = {
        {.fd = received_all(remote) ? -1 : ssh_get_fd(session),
         .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        {.fd = signals == NULL || signals->acknowledged ? -1 : signals->fd, .events = POLLIN},
        {.fd = remote->input_wanted ? remote->request->input_fd : -1, .events = POLLIN},
        {.fd = output_poll_fd(remote, STREAM_STDOUT), .events = POLLOUT},
        {.fd = output_poll_fd(remote, STREAM_STDERR), .events = POLLOUT},
    };
    if (poll(entries, sizeof(entries) / sizeof(entries[0]),
             clock_poll_timeout(next_deadline(remote))) < 0) {
        return errno == EINTR ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot wait for the job");
    }
    if (entries[0].revents != 0) {
        (void)ssh_event_dopoll(remote->event, 0); /* its result does not tell a dead link */
    }
    if (entries[2].revents != 0 && channel_takes_input(remote)) {
        copy_input(remote);
    }
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        bool may_write = entries[3 + stream].revents != 0 || output_poll_fd(remote, stream) < 0;
        if (may_write && flush_stream(remote, stream) < 0) {
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

static int open_session(struct remote *remote)
{
    return ssh_channel_open_session(remote->channel);
}

static int request_exec(struct remote *remote)
{
    return ssh_channel_request_exec(remote->channel, remote->request->command);
}

/* Opens the channel and starts the command; nothing of the job runs when this fails. */
static int start_command(struct remote *remote, struct error *err)
{
    static int (*const steps[])(struct remote *) = {open_session, request_exec};
    struct ssh_link *link = remote->link;
    int64_t deadline_ms = clock_deadline_ms(remote->request->start_ms);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int result;
        while ((result = steps[i](remote)) == SSH_AGAIN) {
            if (ssh_link_wait(link, remote->request->signals, deadline_ms, err) < 0) {
                return -1;
            }
        }
        if (result != SSH_OK) {
            return error_set(err, ERROR_PEER, 0, "%s", ssh_get_error(link->session));
        }
    }
    return 0;
}

static void open_streams(struct remote *remote, char *pending)
{
    output_open(&remote->outputs[STREAM_STDOUT], STDOUT_FILENO);
    output_open(&remote->outputs[STREAM_STDERR], STDERR_FILENO);
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        remote->pending[stream] = pending + (size_t)stream * CHUNK_BYTES;
    }
}

static int close_streams(struct remote *remote, struct error *err)
{
    int failed_errno = remote->outputs[STREAM_STDOUT].failed_errno;
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        output_done(&remote->outputs[stream]);
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
    char pending[STREAM_COUNT * CHUNK_BYTES];
    struct remote remote = {
        .link = link,
        .request = request,
        .channel = ssh_channel_new(link->session),
        .event = ssh_event_new(),
        .keepalive_ms = clock_deadline_ms(request->keepalive_ms),
    };
    int result = -1;
    if (remote.channel == NULL || remote.event == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot start the job");
    } else {
        ssh_set_counters(link->session, &remote.received, NULL);
        open_streams(&remote, pending);
        result = run_with_callbacks(&remote, err);
        if (close_streams(&remote, result == 0 ? err : NULL) < 0) {
            result = -1;
        }
        ssh_set_counters(link->session, NULL, NULL);
    }
    ssh_event_free(remote.event);
    ssh_channel_free(remote.channel);
    if (result == 0) {
        *out_outcome = remote.outcome;
    }
    return result;
}
