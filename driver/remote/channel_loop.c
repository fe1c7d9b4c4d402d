/* SPDX-License-Identifier: MIT */
#include "driver/remote/channel_loop.h"

#include <errno.h>
#include <libssh/server.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* One read of libssh from a socket, and a packet that came before it. */
#define RX_BUFFER_BYTES (4 * CHANNEL_PACKET_BYTES)
#define AT_ONCE         0
/* The connection is not read for this long while an output is blocked: a slow reader takes the
 * bytes in a moment, and until then the kernel holds what comes, where libssh would copy it into
 * more and more memory. No longer, since the server's keepalives need a reply. */
#define BLOCKED_PAUSE_MS 100
#define KEEPALIVE_MISSES 3

static bool has_failed(const struct channel_loop *loop)
{
    return loop->failure.kind != ERROR_NONE;
}

/* --- start --- */

int channel_loop_open_session(ssh_channel ssh, const void *context)
{
    (void)context;
    return ssh_channel_open_session(ssh);
}

int channel_loop_request_subsystem(ssh_channel ssh, const void *context)
{
    return ssh_channel_request_subsystem(ssh, context);
}

int channel_loop_do(struct channel_loop *loop, channel_step *step, const void *context,
                    int64_t deadline_ms, struct error *err)
{
    int result;
    while ((result = step(loop->ssh, context)) == SSH_AGAIN) {
        if (ssh_connection_wait(loop->connection, loop->signals, deadline_ms, err) < 0) {
            return -1;
        }
    }
    if (result == SSH_OK) {
        return 0;
    }
    (void)error_set(err, ERROR_PEER, 0, "%s", ssh_get_error(loop->connection->session));
    return ssh_connection_healthy(loop->connection) ? 1 : -1;
}

static int on_data(ssh_session session, ssh_channel ssh, void *bytes, uint32_t length,
                   int is_stderr, void *userdata)
{
    (void)session;
    (void)ssh;
    struct channel_loop *loop = userdata;
    ssh_connection_count_output(loop->connection);
    return (int)loop->operations->receive(loop, is_stderr ? CHANNEL_STDERR : CHANNEL_STDOUT, bytes,
                                          length);
}

static void on_eof_or_close(ssh_session session, ssh_channel ssh, void *userdata)
{
    (void)session;
    (void)ssh;
    ((struct channel_loop *)userdata)->eof = true;
}

int channel_loop_open(struct channel_loop *loop, struct error *err)
{
    struct keepalive *keepalive = &loop->keepalive;
    int64_t period_ms = loop->keepalive_ms;
    keepalive->period_ms = period_ms;
    keepalive->next_ms = period_ms > 0 ? clock_deadline_ms(period_ms) : CLOCK_NEVER;
    keepalive->seen_bytes = loop->connection->traffic.socket.in_bytes;
    loop->ssh = ssh_channel_new(loop->connection->session);
    loop->event = ssh_event_new();
    bool complete = loop->ssh != NULL && loop->event != NULL;
    for (int stream = 0; stream < loop->streams; stream++) {
        loop->rx_buffers[stream].kept = malloc(RX_BUFFER_BYTES);
        complete = complete && loop->rx_buffers[stream].kept != NULL;
    }
    if (!complete) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot open a channel to the task");
    }
    loop->callbacks.userdata = loop;
    loop->callbacks.channel_data_function = on_data;
    loop->callbacks.channel_eof_function = on_eof_or_close;
    loop->callbacks.channel_close_function = on_eof_or_close;
    ssh_callbacks_init(&loop->callbacks);
    return ssh_set_channel_callbacks(loop->ssh, &loop->callbacks) == SSH_OK
               ? 0
               : error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(loop->connection->session));
}

void channel_loop_close(struct channel_loop *loop)
{
    if (loop->ssh != NULL) {
        (void)ssh_remove_channel_callbacks(loop->ssh, &loop->callbacks);
    }
    ssh_event_free(loop->event);
    ssh_channel_free(loop->ssh);
    loop->event = NULL;
    loop->ssh = NULL;
    for (int stream = 0; stream < loop->streams; stream++) {
        free(loop->rx_buffers[stream].kept);
        loop->rx_buffers[stream].kept = NULL;
    }
}

/* --- output --- */

static size_t write_out(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                        size_t length)
{
    return loop->operations->write(loop, stream, bytes, length, &loop->rx_buffers[stream].blocked);
}

/* Returns how many of the bytes fitted. */
static size_t keep(struct rx_buffer *rx_buffer, const char *bytes, size_t length)
{
    size_t room = rx_buffer->reading ? 0 : RX_BUFFER_BYTES - rx_buffer->kept_length;
    length = length < room ? length : room;
    if (rx_buffer->kept_start + rx_buffer->kept_length + length > RX_BUFFER_BYTES) {
        memmove(rx_buffer->kept, rx_buffer->kept + rx_buffer->kept_start, rx_buffer->kept_length);
        rx_buffer->kept_start = 0;
    }
    memcpy(rx_buffer->kept + rx_buffer->kept_start + rx_buffer->kept_length, bytes, length);
    rx_buffer->kept_length += length;
    return length;
}

size_t channel_loop_offer(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                          size_t length)
{
    struct rx_buffer *rx_buffer = &loop->rx_buffers[stream];
    if (loop->eof) {
        if (rx_buffer->held) {
            (void)error_set(channel_loop_fail(loop), ERROR_PEER, 0,
                            "the task at %s sent output after end of file", loop->connection->name);
        }
        return length;
    }
    size_t taken = rx_buffer->held ? 0 : write_out(loop, stream, bytes, length);
    if (taken < length) {
        rx_buffer->held_ms = rx_buffer->held ? rx_buffer->held_ms : clock_now_ms();
        rx_buffer->held = true;
        taken += keep(rx_buffer, bytes + taken, length - taken);
        rx_buffer->libssh_has_it = taken < length;
    }
    return taken;
}

/* Writes what is kept. Returns whether nothing is kept any more. */
static bool write_kept(struct channel_loop *loop, enum channel_stream stream)
{
    struct rx_buffer *rx_buffer = &loop->rx_buffers[stream];
    if (rx_buffer->kept_length > 0) {
        size_t taken = write_out(loop, stream, rx_buffer->kept + rx_buffer->kept_start,
                                 rx_buffer->kept_length);
        rx_buffer->kept_start += taken;
        rx_buffer->kept_length -= taken;
    }
    if (rx_buffer->kept_length > 0) {
        return false;
    }
    rx_buffer->kept_start = 0;
    return true;
}

/* Writes until an output is blocked or nothing is left. -1: libssh failed.
 * ssh_channel_read_nonblocking() would first receive what there is: with a reader that is slower
 * than the connection, libssh would hold more and more. ssh_channel_read_timeout() receives only
 * when libssh holds nothing. */
static int flush(struct channel_loop *loop, enum channel_stream stream)
{
    struct rx_buffer *rx_buffer = &loop->rx_buffers[stream];
    int got = 1;
    while (write_kept(loop, stream) && rx_buffer->libssh_has_it && got > 0) {
        rx_buffer->reading = true;
        got = ssh_channel_read_timeout(loop->ssh, rx_buffer->kept, RX_BUFFER_BYTES,
                                       stream == CHANNEL_STDERR, AT_ONCE);
        rx_buffer->reading = false;
        rx_buffer->kept_length = got > 0 ? (size_t)got : 0;
        rx_buffer->libssh_has_it = got == RX_BUFFER_BYTES;
    }
    rx_buffer->held = rx_buffer->kept_length > 0;
    return got == SSH_ERROR ? -1 : 0;
}

/* The descriptor that a stream waits for: -1 when it waits for none, and can be flushed. */
static int blocked_fd(const struct channel_loop *loop, enum channel_stream stream)
{
    const struct rx_buffer *rx_buffer = &loop->rx_buffers[stream];
    if (!rx_buffer->held || rx_buffer->blocked == CHANNEL_NOT_BLOCKED) {
        return -1;
    }
    const struct output *output = &loop->outputs[rx_buffer->blocked];
    return output->failed_errno == 0 ? output->fd : -1;
}

/* Until when the connection is not read; CLOCK_NEVER: it is read now. */
static int64_t paused_until_ms(const struct channel_loop *loop)
{
    int64_t earliest_ms = CLOCK_NEVER;
    for (int stream = 0; stream < loop->streams; stream++) {
        const struct rx_buffer *rx_buffer = &loop->rx_buffers[stream];
        int64_t until_ms = rx_buffer->held_ms + BLOCKED_PAUSE_MS;
        if (rx_buffer->held && clock_now_ms() < until_ms) {
            earliest_ms = clock_earlier_ms(earliest_ms, until_ms);
        }
    }
    return earliest_ms;
}

bool channel_loop_takes_bytes(const struct channel_loop *loop)
{
    return ssh_channel_is_open(loop->ssh) && ssh_channel_window_size(loop->ssh) > 0 &&
           (ssh_get_status(loop->connection->session) & SSH_WRITE_PENDING) == 0;
}

/* --- the loop --- */

/* ssh_global_request() keeps a finished request until the next call, so a keepalive takes two
 * calls: one that collects the last reply, and one that sends. */
static int check_keepalive(struct channel_loop *loop, struct error *err)
{
    struct keepalive *keepalive = &loop->keepalive;
    const uint64_t *in_bytes = &loop->connection->traffic.socket.in_bytes;
    if (clock_now_ms() < keepalive->next_ms) {
        return 0;
    }
    keepalive->next_ms = clock_deadline_ms(keepalive->period_ms);
    keepalive->missed = *in_bytes != keepalive->seen_bytes ? 0 : keepalive->missed + 1;
    keepalive->seen_bytes = *in_bytes;
    if (keepalive->missed >= KEEPALIVE_MISSES) {
        return error_set(err, ERROR_SYSTEM, 0, "no response to keepalives for %lld s",
                         (long long)(keepalive->period_ms * KEEPALIVE_MISSES / 1000));
    }
    if (keepalive->sent) {
        (void)ssh_send_keepalive(loop->connection->session);
        keepalive->seen_bytes = *in_bytes;
    }
    keepalive->sent = true;
    (void)ssh_send_keepalive(loop->connection->session);
    return 0;
}

static bool is_lost(struct channel_loop *loop, struct error *err)
{
    if (loop->received_all) {
        return false;
    }
    if (!ssh_connection_healthy(loop->connection)) {
        (void)error_set(err, ERROR_SYSTEM, 0, "%s", ssh_connection_failure(loop->connection));
        return true;
    }
    return check_keepalive(loop, err) < 0;
}

/* A request to stop, or an output that cannot be written any more, ends the job. */
static void check_stop(struct channel_loop *loop)
{
    const struct channel_operations *operations = loop->operations;
    struct stop_sequence *stop = loop->stop;
    bool unread = loop->outputs[CHANNEL_STDOUT].failed_errno != 0;
    if (!stop->started && (unread || signals_pending(loop->signals))) {
        operations->on_stop(loop, unread);
        if (has_failed(loop)) {
            return;
        }
        if (loop->signals != NULL) {
            signals_acknowledge(loop->signals);
        }
        stop_sequence_start(stop, clock_now_ms());
    }
    if (loop->stop_allowed == CHANNEL_STOP_OVER) {
        return;
    }
    if (loop->stop_allowed == CHANNEL_STOP_LIMIT) {
        if (clock_now_ms() >= stop_sequence_limit_ms(stop)) {
            operations->give_up(loop);
        }
        return;
    }
    switch (stop_sequence_next(stop, clock_now_ms())) {
    case STOP_TERM:
        operations->send_signal(loop, "TERM");
        break;
    case STOP_KILL:
        operations->send_signal(loop, "KILL");
        break;
    case STOP_GIVE_UP:
        operations->give_up(loop);
        break;
    case STOP_NOTHING:
        break;
    }
}

static int64_t next_deadline_ms(const struct channel_loop *loop)
{
    int64_t deadline_ms = loop->operations->deadline_ms(loop);
    if (!loop->received_all) {
        deadline_ms = clock_earlier_ms(deadline_ms, loop->keepalive.next_ms);
    }
    if (loop->stop_allowed == CHANNEL_STOP_SIGNALS) {
        deadline_ms = clock_earlier_ms(deadline_ms, stop_sequence_deadline_ms(loop->stop));
    } else if (loop->stop_allowed == CHANNEL_STOP_LIMIT) {
        deadline_ms = clock_earlier_ms(deadline_ms, stop_sequence_limit_ms(loop->stop));
    }
    for (int stream = 0; stream < loop->streams; stream++) {
        if (loop->rx_buffers[stream].held && blocked_fd(loop, stream) < 0) {
            return 0; /* its output has failed since: the rest is dropped at once */
        }
    }
    return deadline_ms;
}

/* Waits for something to do and handles the descriptors. -1: the connection is lost. */
static int wait_and_dispatch(struct channel_loop *loop, struct error *err)
{
    enum { SSH, SIGNALS, OUTPUTS, POLLS = OUTPUTS + CHANNEL_STREAMS };
    ssh_session session = loop->connection->session;
    struct signals *signals = loop->signals;
    bool writing = (ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0;
    int64_t paused_ms = paused_until_ms(loop);
    bool reading = !loop->received_all && paused_ms == CLOCK_NEVER;
    struct pollfd entries[] = {
        [SSH] = {.fd = reading ? ssh_get_fd(session) : -1,
                 .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        [SIGNALS] = {.fd = signals == NULL || signals->acknowledged ? -1 : signals->fd,
                     .events = POLLIN},
        [OUTPUTS] = {.fd = blocked_fd(loop, CHANNEL_STDOUT), .events = POLLOUT},
        [OUTPUTS + 1] = {.fd = blocked_fd(loop, CHANNEL_STDERR), .events = POLLOUT},
        [POLLS] = {.fd = loop->polls[0].fd, .events = POLLIN},
        [POLLS + 1] = {.fd = loop->polls[1].fd, .events = POLLIN},
    };
    if (poll(entries, sizeof(entries) / sizeof(entries[0]),
             clock_poll_timeout(clock_earlier_ms(paused_ms, next_deadline_ms(loop)))) < 0 &&
        errno != EINTR) {
        (void)error_set(channel_loop_fail(loop), ERROR_SYSTEM, errno, "cannot wait for the job");
        return 0;
    }
    if (entries[SSH].revents != 0) {
        (void)ssh_event_dopoll(loop->event, 0); /* its result does not show a lost connection */
    }
    for (int i = 0; i < 2; i++) {
        if (entries[POLLS + i].revents != 0) {
            loop->polls[i].on_readable(loop);
        }
    }
    for (int stream = 0; stream < loop->streams; stream++) {
        bool ready = entries[OUTPUTS + stream].revents != 0 || blocked_fd(loop, stream) < 0;
        if (ready && flush(loop, stream) < 0 && !ssh_connection_healthy(loop->connection)) {
            return error_set(err, ERROR_SYSTEM, 0, "%s", ssh_connection_failure(loop->connection));
        }
    }
    return 0;
}

enum channel_end channel_loop_run(struct channel_loop *loop, struct error *err)
{
    enum channel_end end = CHANNEL_RUNNING;
    if (ssh_event_add_session(loop->event, loop->connection->session) != SSH_OK) {
        (void)error_set(err, ERROR_SYSTEM, 0, "cannot watch the connection");
        return CHANNEL_FAILED;
    }
    while (end == CHANNEL_RUNNING) {
        if (!has_failed(loop)) {
            check_stop(loop);
        }
        if (!has_failed(loop)) {
            end = loop->operations->turn(loop, err);
        }
        if (!has_failed(loop) && end == CHANNEL_RUNNING &&
            (is_lost(loop, err) || wait_and_dispatch(loop, err) < 0)) {
            end = CHANNEL_LOST;
        }
        if (has_failed(loop)) {
            *err = loop->failure;
            end = CHANNEL_FAILED;
        }
    }
    (void)ssh_event_remove_session(loop->event, loop->connection->session);
    return end;
}
