/* SPDX-License-Identifier: MIT */
#include "driver/remote/exec.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "driver/remote/channel_loop.h"

/* From closing the input until we give up on a login shell that reads something else. */
#define GATE_END_MS 5000

/* For the output that a job wrote before it was ended. */
#define LAST_OUTPUT_MS 2000

/* One command from its request to its exit report. On the stack of ssh_exec(). */
struct exec {
    const struct ssh_request *request;
    struct channel_loop loop;
    struct output outputs[CHANNEL_STREAMS];
    struct stop_sequence stop;
    struct begin_sign *sign; /* NULL: the command prints none */
    bool gated;              /* the input is sent only after the sign */
    int64_t gate_ms;         /* when the input is closed without it; later, when we give up */
    struct buffer head;      /* the command, when the agent takes it as input */
    size_t head_sent;
    size_t input_sent;                /* of request->input */
    char chunk[CHANNEL_PACKET_BYTES]; /* read from request->input_fd */
    size_t chunk_length, chunk_sent;
    bool input_ended;     /* EOF was sent */
    bool requested;       /* the command was sent */
    bool started;         /* and accepted: output and exit reports are expected */
    bool exited;          /* the first exit report has come */
    int64_t confirmed_ms; /* when request->end_job confirmed the job's end; 0: not yet */
    struct job_outcome outcome;
};

static struct exec *exec_of(void *userdata)
{
    return ((struct channel_loop *)userdata)->context;
}

static int64_t request_deadline_ms(const struct exec *exec)
{
    return exec->request->deadline_ms > 0 ? exec->request->deadline_ms : CLOCK_NEVER;
}

/* --- what comes in --- */

static size_t receive(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                      size_t length)
{
    if (!exec_of(loop)->started) {
        (void)error_set(channel_loop_fail(loop), ERROR_PEER, 0,
                        "the task at %s sent output before the job was started",
                        loop->connection->name);
        return length;
    }
    return channel_loop_offer(loop, stream, bytes, length);
}

static size_t write_output(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                           size_t length, int *out_blocked)
{
    struct exec *exec = exec_of(loop);
    *out_blocked = (int)stream;
    return stream == CHANNEL_STDOUT && exec->sign != NULL
               ? begin_sign_take(exec->sign, bytes, length, exec->outputs, out_blocked)
               : output_write(&exec->outputs[stream], bytes, length);
}

static void on_answer(ssh_session session, ssh_channel ssh, void *userdata)
{
    (void)session;
    (void)ssh;
    struct exec *exec = exec_of(userdata);
    exec->started = exec->requested;
}

/* Whether this exit report counts: only the first one after the start does. */
static bool is_first_report(struct exec *exec)
{
    if (!exec->started) {
        (void)error_set(channel_loop_fail(&exec->loop), ERROR_PEER, 0,
                        "the task at %s reported the exit of a job that was not started",
                        exec->loop.connection->name);
        return false;
    }
    bool first = !exec->exited;
    exec->exited = true;
    return first;
}

static void on_exit_status(ssh_session session, ssh_channel ssh, int status, void *userdata)
{
    (void)session;
    (void)ssh;
    struct exec *exec = exec_of(userdata);
    if (is_first_report(exec)) {
        exec->outcome.status = status;
    }
}

static void on_exit_signal(ssh_session session, ssh_channel ssh, const char *name, int core,
                           const char *message, const char *language, void *userdata)
{
    (void)session;
    (void)ssh;
    (void)core;
    (void)message;
    (void)language;
    struct exec *exec = exec_of(userdata);
    if (is_first_report(exec)) {
        (void)snprintf(exec->outcome.signal, sizeof(exec->outcome.signal), "%s",
                       name != NULL && name[0] != '\0' ? name : "?");
    }
}

/* --- the input --- */

static bool can_send_input(const struct exec *exec)
{
    return !exec->exited && channel_loop_takes_bytes(&exec->loop);
}

static void end_input(struct exec *exec)
{
    if (!exec->input_ended && ssh_channel_is_open(exec->loop.ssh)) {
        (void)ssh_channel_send_eof(exec->loop.ssh); /* a lost connection shows in the loop */
    }
    exec->input_ended = true;
    exec->loop.polls[0].fd = -1;
}

/* Sends what window and socket take now of bytes of which '*sent' are gone already. Returns whether
 * all of them are. */
static bool send_input(struct exec *exec, const char *bytes, size_t length, size_t *sent)
{
    while (*sent < length && can_send_input(exec)) {
        size_t left = length - *sent;
        int taken = ssh_channel_write(
            exec->loop.ssh, bytes + *sent,
            (uint32_t)(left < CHANNEL_PACKET_BYTES ? left : CHANNEL_PACKET_BYTES));
        if (taken <= 0) {
            break; /* a key exchange, or a lost connection, which shows in the loop */
        }
        *sent += (size_t)taken;
    }
    return *sent == length;
}

static void wipe_chunk(struct exec *exec)
{
    sodium_memzero(exec->chunk, exec->chunk_length);
    exec->chunk_length = 0;
    exec->chunk_sent = 0;
}

/* The descriptor is read only when nothing of it is left to send. */
static void pump_input(struct exec *exec)
{
    const struct ssh_request *request = exec->request;
    exec->loop.polls[0].fd = -1;
    if (exec->input_ended ||
        !send_input(exec, exec->head.bytes, exec->head.length, &exec->head_sent) ||
        (exec->gated && !begin_sign_reads_input(exec->sign)) ||
        !send_input(exec, request->input, request->input_length, &exec->input_sent) ||
        !send_input(exec, exec->chunk, exec->chunk_length, &exec->chunk_sent)) {
        return;
    }
    wipe_chunk(exec);
    if (!can_send_input(exec)) {
        return;
    }
    if (request->input_fd >= 0) {
        exec->loop.polls[0].fd = request->input_fd;
    } else {
        end_input(exec);
    }
}

static void read_input(struct channel_loop *loop)
{
    struct exec *exec = exec_of(loop);
    ssize_t got = read(exec->request->input_fd, exec->chunk, sizeof(exec->chunk));
    if (got > 0) {
        exec->chunk_length = (size_t)got;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(exec);
    }
}

static void resize_terminal(struct channel_loop *loop)
{
    struct tty_size size = {0};
    if (tty_changed(exec_of(loop)->request->tty, &size)) {
        (void)ssh_channel_change_pty_size(loop->ssh, size.columns, size.rows);
    }
}

/* --- the end --- */

static void on_stop(struct channel_loop *loop, bool unread)
{
    struct exec *exec = exec_of(loop);
    exec->outcome.cancelled = !unread && !exec->exited;
}

static void send_signal(struct channel_loop *loop, const char *name)
{
    struct exec *exec = exec_of(loop);
    const struct ssh_request *request = exec->request;
    if (!exec->exited) {
        (void)ssh_channel_request_send_signal(loop->ssh, name); /* a lost connection shows */
    }
    if (request->end_job != NULL && strcmp(name, "TERM") == 0) {
        struct error err;
        int64_t until_ms = stop_sequence_limit_ms(&exec->stop) - LAST_OUTPUT_MS;
        if (request->end_job(request->end_context, until_ms, &err) == 0) {
            exec->confirmed_ms = clock_now_ms();
        } else if (channel_loop_fail(loop) != NULL) {
            loop->failure = err;
        }
    }
}

static void give_up(struct channel_loop *loop)
{
    (void)error_set(channel_loop_fail(loop), ERROR_SYSTEM, 0,
                    exec_of(loop)->exited
                        ? "the job in the task at %s exited, but its output was not read"
                        : "the task at %s did not confirm that the job exited after SIGTERM and "
                          "SIGKILL",
                    loop->connection->name);
}

static bool is_at_gate(const struct exec *exec)
{
    return exec->gated && !begin_sign_reads_input(exec->sign) && !exec->loop.received_all &&
           !exec->stop.started;
}

/* A login shell that does not reach the command may be reading something else from its input;
 * closing the input ends that. */
static void check_gate(struct exec *exec)
{
    if (!is_at_gate(exec) || clock_now_ms() < exec->gate_ms) {
        return;
    }
    if (!exec->input_ended) {
        end_input(exec);
        exec->gate_ms = clock_deadline_ms(GATE_END_MS);
        return;
    }
    (void)error_set(channel_loop_fail(&exec->loop), ERROR_SYSTEM, ETIMEDOUT,
                    "the user's login shell in the task at %s did not reach the command within "
                    "%lld s; check its startup files",
                    exec->loop.connection->name, (long long)(exec->request->start_ms / 1000));
}

static int64_t deadline_ms(const struct channel_loop *loop)
{
    const struct exec *exec = loop->context;
    int64_t earliest_ms = request_deadline_ms(exec);
    if (exec->confirmed_ms > 0 && clock_now_ms() < exec->confirmed_ms + LAST_OUTPUT_MS) {
        earliest_ms = clock_earlier_ms(earliest_ms, exec->confirmed_ms + LAST_OUTPUT_MS);
    }
    return is_at_gate(exec) ? clock_earlier_ms(earliest_ms, exec->gate_ms) : earliest_ms;
}

static enum channel_end turn(struct channel_loop *loop, struct error *err)
{
    struct exec *exec = exec_of(loop);
    bool unread = exec->request->output_unread;
    loop->received_all = exec->exited && (loop->eof || unread);
    if (clock_now_ms() >= request_deadline_ms(exec)) {
        (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT, "the task at %s did not end the job in time",
                        loop->connection->name);
        return CHANNEL_FAILED;
    }
    check_gate(exec);
    pump_input(exec);
    bool held = channel_loop_holds_output(loop);
    bool drained = !held && (ssh_channel_is_eof(loop->ssh) || unread);
    /* The job has ended, as end_job() confirmed, but the server does not report it. */
    bool unreported = exec->confirmed_ms > 0 && !held &&
                      (exec->outcome.cancelled || exec->exited) &&
                      clock_now_ms() >= exec->confirmed_ms + LAST_OUTPUT_MS;
    if ((loop->received_all && drained) || unreported) {
        return CHANNEL_ENDED;
    }
    if (!exec->exited && drained && ssh_channel_is_closed(loop->ssh)) {
        (void)error_set(err, ERROR_SYSTEM, 0,
                        "the task at %s closed the job's channel without an exit status",
                        loop->connection->name);
        return CHANNEL_FAILED;
    }
    return CHANNEL_RUNNING;
}

static const struct channel_operations operations = {
    .receive = receive,
    .write = write_output,
    .turn = turn,
    .on_stop = on_stop,
    .send_signal = send_signal,
    .give_up = give_up,
    .deadline_ms = deadline_ms,
};

/* --- the start --- */

static int request_terminal(ssh_channel ssh, const void *context)
{
    const struct tty *tty = context;
    const char *type = getenv("TERM");
    return ssh_channel_request_pty_size(ssh, type != NULL && type[0] != '\0' ? type : "dumb",
                                        tty->size.columns, tty->size.rows);
}

static int request_command(ssh_channel ssh, const void *context)
{
    const struct ssh_request *request = context;
    return request->command == NULL ? ssh_channel_request_shell(ssh)
                                    : ssh_channel_request_exec(ssh, request->command);
}

/* Starts the command without the user's login shell, by our agent. 1: the server has no such
 * subsystem. */
static int start_words(struct exec *exec, int64_t until_ms, struct error *err)
{
    const struct ssh_request *request = exec->request;
    struct jobwire_frame frame = {
        .type = JOBWIRE_RUN, .bytes = request->words, .length = request->words_length};
    memset(frame.id, '0', JOBWIRE_ID_BYTES);
    int result = request->words == NULL
                     ? 1
                     : channel_loop_do(&exec->loop, channel_loop_request_subsystem, JOBWIRE_EXEC,
                                       until_ms, err);
    if (result != 0) {
        return result;
    }
    exec->sign = request->direct ? NULL : request->sign;
    return jobwire_encode(&frame, &exec->head) == 0
               ? 0
               : error_set(err, ERROR_USAGE, 0, "the command is too long");
}

/* Opens the channel and starts the command; nothing was started when this fails. */
static int start_command(struct exec *exec, struct error *err)
{
    const struct ssh_request *request = exec->request;
    struct channel_loop *loop = &exec->loop;
    struct tty *tty = request->tty;
    int64_t until_ms =
        clock_earlier_ms(clock_deadline_ms(request->start_ms), request_deadline_ms(exec));
    if (channel_loop_do(loop, channel_loop_open_session, NULL, until_ms, err) != 0 ||
        (tty != NULL && channel_loop_do(loop, request_terminal, tty, until_ms, err) != 0)) {
        return -1;
    }
    exec->requested = true;
    int started = start_words(exec, until_ms, err);
    if (started == 1) {
        exec->started = false; /* a refusal is an answer too */
        exec->sign = request->sign;
        exec->gated = request->sign != NULL;
        exec->gate_ms = until_ms;
        started = channel_loop_do(loop, request_command, request, until_ms, err);
    }
    if (started != 0) {
        return -1;
    }
    return tty == NULL ? 0 : tty_make_raw(tty, err);
}

static int run(struct exec *exec, struct error *err)
{
    const char *name = exec->loop.connection->name;
    if (channel_loop_open(&exec->loop, err) < 0) {
        return -1;
    }
    if (start_command(exec, err) < 0) {
        return error_wrap(err, "cannot start the job in the task at %s", name);
    }
    switch (channel_loop_run(&exec->loop, err)) {
    case CHANNEL_ENDED:
        return 0;
    case CHANNEL_LOST:
        return error_wrap(err, "the connection to the task at %s was lost while the job ran", name);
    case CHANNEL_RUNNING:
    case CHANNEL_FAILED:
        break;
    }
    return -1;
}

int ssh_exec(struct ssh_connection *connection, const struct ssh_request *request,
             struct job_outcome *out_outcome, struct error *err)
{
    struct tty *tty = request->tty;
    struct exec exec = {
        .request = request,
        .loop =
            {
                .connection = connection,
                .operations = &operations,
                .context = &exec,
                .callbacks =
                    {
                        .channel_exit_status_function = on_exit_status,
                        .channel_exit_signal_function = on_exit_signal,
                        .channel_request_response_function = on_answer,
                    },
                .signals = request->signals,
                .stop = &exec.stop,
                .outputs = exec.outputs,
                .streams = CHANNEL_STREAMS,
                .keepalive_ms = request->keepalive_ms,
                .polls = {{.fd = -1, .on_readable = read_input},
                          {.fd = tty == NULL ? -1 : tty->events_fd,
                           .on_readable = resize_terminal}},
            },
    };
    buffer_init(&exec.head, JOBWIRE_COMMAND_BYTES + (size_t)JOBWIRE_HEADER_BYTES + 64);
    stop_sequence_init(&exec.stop, request->grace_ms);
    bool captured = request->capture_fd > 0;
    output_open(&exec.outputs[CHANNEL_STDOUT], captured ? request->capture_fd : STDOUT_FILENO);
    output_open(&exec.outputs[CHANNEL_STDERR], captured ? request->capture_fd : STDERR_FILENO);
    int result = run(&exec, err);
    exec.outcome.unbegun =
        exec.sign != NULL && !begin_sign_end(exec.sign, exec.outputs) && result == 0;
    int failed_errno = exec.outputs[CHANNEL_STDOUT].failed_errno;
    if (result == 0 && failed_errno != 0 && !captured) {
        result = error_set(err, ERROR_SYSTEM, failed_errno, "cannot write the job's output");
    }
    if (result == 0) {
        *out_outcome = exec.outcome;
    }
    channel_loop_close(&exec.loop);
    output_done(&exec.outputs[CHANNEL_STDOUT]);
    output_done(&exec.outputs[CHANNEL_STDERR]);
    wipe_chunk(&exec);
    buffer_done(&exec.head);
    return result;
}

int ssh_exec_in_terminal(struct ssh_connection *connection, struct ssh_request *request,
                         struct job_outcome *out_outcome, struct error *err)
{
    struct tty tty = {.events_fd = -1};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO)) {
        return ssh_exec(connection, request, out_outcome, err);
    }
    if (tty_open(&tty, STDIN_FILENO, err) < 0) {
        return -1;
    }
    request->tty = &tty;
    int result = ssh_exec(connection, request, out_outcome, err);
    request->tty = NULL;
    tty_close(&tty);
    return result;
}
