/* SPDX-License-Identifier: MIT */
/* How far a resumable job's monitor reads ahead of its session, and messages of a session that has
 * exited. */
#include "agent/monitor/resumable.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/clock.h"
#include "tests/unit/rows.h"

#define FOR_LONG (CLOCK_NEVER - 1)

struct row {
    const char *name;
    int64_t sent;            /* as reported by the session, of LIMIT_AHEAD_BYTES */
    int64_t behind_until_ms; /* deadline */
    bool attached;
    bool reads; /* what came after those */
};

static const struct row rows[] = {
    {"a session that has sent nothing is left alone", 0, FOR_LONG, true, false},
    {"but not for ever", 0, 0, true, true},
    {"one that has sent some is asked to take more", 1, FOR_LONG, true, true},
    {"one that has sent all, too", LIMIT_AHEAD_BYTES, FOR_LONG, true, true},
    {"without a session nothing is waited for", 0, FOR_LONG, false, true},
};

static void write_all(int fd)
{
    static char bytes[LIMIT_AHEAD_BYTES];
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
}

static void never_called(void *context, int number)
{
    (void)context;
    fail_msg("signal %d", number);
}

static uint64_t serve(struct resumable *resumable)
{
    assert_true(resumable_service(resumable, never_called, NULL));
    return resumable->spool.head[0];
}

static void tell_progress(int session, int64_t sent)
{
    struct wire_message message = {.type = WIRE_JOB_ACK, .sent = {sent, 0}};
    assert_int_equal(wire_send(session, &message, NULL, 0), 0);
}

static void test_reading_ahead(void **state)
{
    const struct row *row = *state;
    const struct agent_options options = {.spool_limit_bytes = (int64_t)8 * LIMIT_AHEAD_BYTES,
                                          .detach_timeout_ms = 1000000};
    struct job job = {.stdin_fd = -1, .stderr_fd = -1};
    struct resumable resumable;
    struct error err;
    int ends[2], pipes[2];
    struct pollfd entries[RESUMABLE_ENTRIES];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(pipes[0], F_SETPIPE_SZ, LIMIT_AHEAD_BYTES) >= LIMIT_AHEAD_BYTES);
    assert_int_equal(wire_pair(ends), 0);
    job.stdout_fd = pipes[0];
    assert_int_equal(resumable_open(&resumable, &options, &job, -1, ends[0], &err), 0);
    resumable_started(&resumable);
    write_all(pipes[1]);
    assert_int_equal(serve(&resumable), LIMIT_AHEAD_BYTES);
    resumable.behind_until_ms = row->behind_until_ms;
    if (!row->attached) {
        (void)close(ends[1]);
    } else if (row->sent > 0) {
        tell_progress(ends[1], row->sent);
    }
    write_all(pipes[1]);
    assert_int_equal(serve(&resumable), LIMIT_AHEAD_BYTES * (row->reads ? 2 : 1));
    if (!row->reads) { /* the monitor ignores the pipe meanwhile, until the deadline */
        resumable_prepare(&resumable, entries);
        assert_int_equal(entries[2].fd, -1);
        assert_int_equal(resumable_deadline_ms(&resumable), row->behind_until_ms);
    }
    if (row->attached) {
        (void)close(ends[1]);
    }
    resumable_close(&resumable);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void note_signal(void *context, int number)
{
    *(int *)context = number;
}

struct monitored {
    struct agent_options options;
    struct job job;
    struct resumable resumable;
    int session, init; /* the other ends */
};

static void open_monitored(struct monitored *monitored)
{
    struct error err;
    int session[2], control[2];
    *monitored =
        (struct monitored){.options = {.spool_limit_bytes = 1 << 20, .detach_timeout_ms = 1000000},
                           .job = {.pid = 1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1}};
    assert_int_equal(wire_pair(session), 0);
    assert_int_equal(wire_pair(control), 0);
    monitored->session = session[1];
    monitored->init = control[1];
    assert_int_equal(resumable_open(&monitored->resumable, &monitored->options, &monitored->job,
                                    control[0], session[0], &err),
                     0);
}

static void close_monitored(struct monitored *monitored)
{
    resumable_close(&monitored->resumable);
    (void)close(monitored->session);
    (void)close(monitored->init);
}

static void send_type(int socket, int type, int number)
{
    struct wire_message message = {.type = type, .number = number};
    assert_int_equal(wire_send(socket, &message, NULL, 0), 0);
}

static void expect_type(int socket, int type)
{
    struct wire_message message = {0};
    int fds[WIRE_FDS];
    assert_int_equal(wire_receive(socket, &message, fds), WIRE_MESSAGE);
    assert_int_equal(message.type, type);
    for (int i = 0; i < WIRE_FDS; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

static void test_a_signal_from_a_session_that_exited(void **state)
{
    struct monitored monitored;
    int number = 0;
    (void)state;
    open_monitored(&monitored);
    send_type(monitored.session, WIRE_JOB_SIGNAL, SIGTERM);
    (void)close(monitored.session);
    resumable_started(&monitored.resumable); /* the send fails */
    assert_true(resumable_service(&monitored.resumable, note_signal, &number));
    assert_int_equal(number, SIGTERM);
    assert_int_equal(monitored.resumable.session, -1);
    monitored.session = dup(monitored.init);
    close_monitored(&monitored);
}

static void test_a_signal_from_a_session_that_was_replaced(void **state)
{
    struct wire_message attach = {.type = WIRE_JOB_ATTACH};
    struct wire_message unused;
    struct monitored monitored;
    int next[2], fds[WIRE_FDS];
    int number = 0;
    (void)state;
    open_monitored(&monitored);
    resumable_started(&monitored.resumable);
    assert_int_equal(wire_pair(next), 0);
    assert_int_equal(wire_send(monitored.init, &attach, &next[0], 1), 0);
    (void)close(next[0]);
    send_type(monitored.session, WIRE_JOB_SIGNAL, SIGTERM);
    assert_true(resumable_service(&monitored.resumable, note_signal, &number));
    assert_int_equal(number, SIGTERM);
    expect_type(monitored.session, WIRE_JOB_STARTED);
    expect_type(monitored.session, WIRE_JOB_REPLACED);
    assert_int_equal(wire_receive(monitored.session, &unused, fds), WIRE_CLOSED);
    expect_type(next[1], WIRE_JOB_ATTACHED);
    (void)close(next[1]);
    close_monitored(&monitored);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_from_a_session_that_exited),
        cmocka_unit_test(test_a_signal_from_a_session_that_was_replaced),
    };
    return rows_run(rows, test_reading_ahead) + cmocka_run_group_tests(tests, NULL, NULL);
}
