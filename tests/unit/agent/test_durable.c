/* SPDX-License-Identifier: MIT */
/* How far the monitor of a durable job reads ahead of the session that sends. */
#include "agent/job/durable.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/clock.h"
#include "tests/unit/rows.h"

#define FOR_LONG (CLOCK_NEVER - 1)

struct row {
    const char *name;
    int64_t sent;        /* that the session told of LIMIT_AHEAD_BYTES */
    int64_t patience_ms; /* deadline */
    bool attached;
    bool reads; /* what came after those */
};

static const struct row rows[] = {
    {"a session that has sent nothing is left alone", 0, FOR_LONG, true, false},
    {"but not for ever", 0, 0, true, true},
    {"one that has sent some is asked to take more", 1, FOR_LONG, true, true},
    {"one that has sent all, too", LIMIT_AHEAD_BYTES, FOR_LONG, true, true},
    {"without a session nobody is waited for", 0, FOR_LONG, false, true},
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

static uint64_t serve(struct durable *durable)
{
    assert_true(durable_service(durable, never_called, NULL));
    return durable->spool.head[0];
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
    struct durable durable;
    struct error err;
    int ends[2], pipes[2];
    struct pollfd entries[DURABLE_ENTRIES];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(pipes[0], F_SETPIPE_SZ, LIMIT_AHEAD_BYTES) >= LIMIT_AHEAD_BYTES);
    assert_int_equal(wire_pair(ends), 0);
    job.stdout_fd = pipes[0];
    assert_int_equal(durable_open(&durable, &options, &job, -1, ends[0], &err), 0);
    durable_started(&durable);
    write_all(pipes[1]);
    assert_int_equal(serve(&durable), LIMIT_AHEAD_BYTES);
    durable.patience_ms = row->patience_ms;
    if (!row->attached) {
        (void)close(ends[1]);
    } else if (row->sent > 0) {
        tell_progress(ends[1], row->sent);
    }
    write_all(pipes[1]);
    assert_int_equal(serve(&durable), LIMIT_AHEAD_BYTES * (row->reads ? 2 : 1));
    if (!row->reads) { /* the pipe wakes nobody meanwhile, but its patience ends */
        durable_prepare(&durable, entries);
        assert_int_equal(entries[2].fd, -1);
        assert_int_equal(durable_deadline_ms(&durable), row->patience_ms);
    }
    if (row->attached) {
        (void)close(ends[1]);
    }
    durable_close(&durable);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

int main(void)
{
    return rows_run(rows, test_reading_ahead);
}
