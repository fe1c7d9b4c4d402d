/* SPDX-License-Identifier: MIT */
/* The end of output that leftovers of a job keep open. */
#include "agent/ipc/drain.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/clock.h"
#include "tests/unit/rows.h"

#define SILENCE_MS 60000

static const struct row {
    const char *name;
    bool closed;        /* the pipe */
    int before, after;  /* bytes written before and after the exit */
    int read;           /* bytes read since the exit */
    bool held;          /* bytes were read and not sent yet */
    bool silent, bound; /* that deadline has passed */
    bool over;
} rows[] = {
    {.name = "closed pipes end at once", .closed = true, .over = true},
    {.name = "closed, but bytes wait to be sent", .closed = true, .held = true, .bound = true},
    {.name = "an empty pipe that is held open"},
    {.name = "silence ends it", .silent = true, .over = true},
    {.name = "silence, but bytes wait to be sent", .held = true, .silent = true},
    {.name = "silence, but the pipe holds a byte", .after = 1, .silent = true},
    {.name = "a leftover that goes on writing", .after = 9, .read = 5, .bound = true, .over = true},
    {.name = "the job's own bytes, past any deadline", .before = 9, .silent = true, .bound = true},
    {.name = "some of them read", .before = 9, .read = 8, .silent = true, .bound = true},
    {.name = "all of them read", .before = 9, .after = 9, .read = 9, .bound = true, .over = true},
    {.name = "past the bound, but bytes wait to be sent", .held = true, .bound = true},
};

static void put(int fd, int bytes)
{
    assert_int_equal(write(fd, "123456789", (size_t)bytes), bytes);
}

static void test_end(void **state)
{
    const struct row *row = *state;
    struct drain drain;
    char bytes[16];
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    int fds[] = {-1, row->closed ? -1 : pipes[0]};
    put(pipes[1], row->before);
    drain_begin(&drain, fds, SILENCE_MS);
    put(pipes[1], row->after);
    if (row->read > 0) {
        assert_int_equal(read(pipes[0], bytes, (size_t)row->read), row->read);
        drain_read(&drain, 1, (size_t)row->read);
    }
    drain.deadline_ms = row->silent ? 0 : drain.deadline_ms;
    drain.bound_ms = row->bound ? 0 : drain.bound_ms;
    assert_int_equal(drain_is_over(&drain, fds, row->held), row->over);
    if (!row->over) { /* the deadline moves, so that the caller does not spin */
        assert_true(drain.deadline_ms > clock_now_ms());
    }
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void reading_breaks_the_silence_and_never_moves_the_bound(void **state)
{
    struct drain drain;
    int pipes[2];
    (void)state;
    assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
    int64_t began = clock_now_ms();
    drain_begin(&drain, pipes, SILENCE_MS);
    assert_in_range(drain.bound_ms - began, LIMIT_DRAIN_TIMES * SILENCE_MS,
                    LIMIT_DRAIN_TIMES * SILENCE_MS + 30000);
    int64_t bound = drain.bound_ms;
    drain.deadline_ms = 0;
    drain_read(&drain, 0, 1);
    assert_false(drain_is_over(&drain, pipes, false));
    assert_in_range(drain.deadline_ms - began, SILENCE_MS, SILENCE_MS + 30000);
    assert_int_equal(drain.bound_ms, bound);
    drain.bound_ms = clock_deadline_ms(1000); /* is waited for as well */
    assert_false(drain_is_over(&drain, pipes, false));
    assert_int_equal(drain.deadline_ms, drain.bound_ms);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_breaks_the_silence_and_never_moves_the_bound),
    };
    return rows_run(rows, test_end) + cmocka_run_group_tests(tests, NULL, NULL);
}
