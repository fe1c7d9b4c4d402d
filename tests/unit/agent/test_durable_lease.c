/* SPDX-License-Identifier: MIT */
/* When a durable job is lent to its session, and how its monitor gets it back. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/durable.h"
#include "agent/job/lease.h"
#include "agent/job/spool_private.h"
#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/rows.h"

static const struct agent_options options = {
    .spool_limit_bytes = 64 << 20, .detach_timeout_ms = 1000000, .drain_ms = 1000000};

struct setup {
    struct durable durable;
    struct job job;
    int session;                /* the session's end */
    int out, err;               /* the job's ends of its pipes */
    uint64_t moved;             /* bytes that the session was told of */
    int lent[WIRE_FDS], number; /* what came with JOB_LENT; number 0: it did not */
};

static int open_pipe(int *out_end)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(ends[0], F_SETPIPE_SZ, LIMIT_PIPE_BYTES) >= LIMIT_PIPE_BYTES);
    *out_end = ends[1];
    return ends[0];
}

/* 'ours' and 'theirs': the two ends of the session's socket. */
static void open_setup(struct setup *setup, int ours, int theirs)
{
    struct error err;
    *setup = (struct setup){.session = theirs, .lent = {-1, -1, -1}};
    setup->job = (struct job){.stdin_fd = -1};
    setup->job.stdout_fd = open_pipe(&setup->out);
    setup->job.stderr_fd = open_pipe(&setup->err);
    assert_int_equal(durable_open(&setup->durable, &options, &setup->job, -1, ours, &err), 0);
    durable_started(&setup->durable);
}

static void close_setup(struct setup *setup)
{
    durable_close(&setup->durable);
    cleanup_fd_fn(&setup->session);
    cleanup_fd_fn(&setup->out);
    cleanup_fd_fn(&setup->err);
    cleanup_fd_fn(&setup->job.stdout_fd);
    cleanup_fd_fn(&setup->job.stderr_fd);
    for (int i = 0; i < WIRE_FDS; i++) {
        cleanup_fd_fn(&setup->lent[i]);
    }
}

static void never_called(void *context, int number)
{
    (void)context;
    fail_msg("signal %d", number);
}

static void serve(struct setup *setup)
{
    assert_true(durable_service(&setup->durable, never_called, NULL));
}

static void hear(struct setup *setup)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    while (setup->session >= 0 && wire_receive(setup->session, &message, fds) == WIRE_MESSAGE) {
        bool lent = message.type == WIRE_JOB_LENT;
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&setup->lent[i]);
            setup->lent[i] = lent ? steal_fd(&fds[i]) : -1;
            cleanup_fd_fn(&fds[i]);
        }
        setup->number = lent ? message.number : 0;
        setup->moved = lent ? setup->moved : (uint64_t)(message.offsets[0] + message.offsets[1]);
    }
}

/* What a session that keeps up says. */
static void tell_progress(const struct setup *setup)
{
    struct wire_message message = {.type = WIRE_JOB_ACK,
                                   .sent = {(int64_t)setup->moved, 0},
                                   .offsets = {(int64_t)setup->moved, 0}};
    assert_int_equal(wire_send(setup->session, &message, NULL, 0), 0);
}

static void write_fast(struct setup *setup, bool keeps_up)
{
    static char bytes[LIMIT_PIPE_BYTES];
    int64_t deadline_ms = clock_deadline_ms(20000);
    /* More than once, since this process may be held up for longer than a window. */
    while (!setup->durable.lent && clock_now_ms() < deadline_ms) {
        if (write(setup->out, bytes, sizeof(bytes)) < 0 && !keeps_up) {
            return;
        }
        serve(setup);
        hear(setup);
        if (keeps_up) {
            tell_progress(setup);
        }
    }
}

static void open_lent(struct setup *setup, int ours, int theirs)
{
    open_setup(setup, ours, theirs);
    write_fast(setup, true);
    assert_true(setup->durable.lent);
    hear(setup);
    assert_int_equal(setup->number, setup->durable.spool.lease);
    for (int i = 0; i < WIRE_FDS; i++) {
        assert_true(setup->lent[i] >= 0);
    }
}

static void open_pair_lent(struct setup *setup)
{
    int ends[2];
    assert_int_equal(wire_pair(ends), 0);
    open_lent(setup, ends[0], ends[1]);
}

/* The monitor waits for nothing but the next look, and reads nothing. */
static void check_left_alone(const struct setup *setup)
{
    struct pollfd entries[DURABLE_ENTRIES];
    durable_prepare(&setup->durable, entries);
    assert_int_equal(entries[2].fd, -1);
    assert_int_equal(entries[3].fd, -1);
    assert_true(durable_deadline_ms(&setup->durable) <= clock_deadline_ms(LIMIT_PATIENCE_MS));
}

/* A monitor that waited for a pipe could neither end its job nor hear of anything. */
static void test_the_lent_pipes_have_flags_of_their_own(void **state)
{
    (void)state;
    struct setup setup;
    open_pair_lent(&setup);
    for (int i = 1; i < WIRE_FDS; i++) {
        assert_int_equal(fcntl(setup.lent[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(fcntl(setup.lent[i], F_SETFL, 0), 0);
    }
    assert_int_equal(fcntl(setup.job.stdout_fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(setup.job.stderr_fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close_setup(&setup);
}

static void test_a_session_that_lags_is_lent_nothing(void **state)
{
    (void)state;
    struct setup setup;
    int ends[2];
    assert_int_equal(wire_pair(ends), 0);
    open_setup(&setup, ends[0], ends[1]);
    for (int round = 0; round < 20; round++) {
        setup.durable.patience_ms = 0; /* so that it reads all the same */
        write_fast(&setup, false);
        serve(&setup);
        assert_false(setup.durable.lent);
    }
    assert_true(setup.durable.spool.head[0] > 4 * LIMIT_LEASE_BYTES);
    close_setup(&setup);
}

static void test_a_session_that_moves_little_loses_it(void **state)
{
    (void)state;
    struct setup setup;
    open_pair_lent(&setup);
    check_left_alone(&setup);
    setup.durable.lease_ms = 0;
    assert_int_equal(write(setup.out, "more", 4), 4);
    uint64_t before = setup.durable.spool.head[0];
    serve(&setup);
    assert_false(setup.durable.lent);
    assert_int_equal(setup.durable.spool.head[0], before + 4);
    close_setup(&setup);
}

static void test_a_session_that_moves_much_keeps_it(void **state)
{
    (void)state;
    struct setup setup;
    open_pair_lent(&setup);
    setup.durable.lease_ms = 0;
    spool_file(&setup.durable.spool)->head[0] += LIMIT_LEASE_BYTES;
    serve(&setup);
    assert_true(setup.durable.lent);
    check_left_alone(&setup);
    spool_file(&setup.durable.spool)->head[0] -= LIMIT_LEASE_BYTES;
    close_setup(&setup);
}

static void test_the_end_of_the_shell_ends_it(void **state)
{
    (void)state;
    struct setup setup;
    struct wire_message result = {.type = WIRE_JOB_EXITED};
    open_pair_lent(&setup);
    assert_int_equal(write(setup.out, "last", 4), 4);
    uint64_t before = setup.durable.spool.head[0];
    durable_exited(&setup.durable, &result);
    assert_false(setup.durable.lent);
    serve(&setup);
    assert_int_equal(setup.durable.spool.head[0], before + 4);
    close_setup(&setup);
}

static void test_the_end_of_the_session_ends_it(void **state)
{
    (void)state;
    struct setup setup;
    open_pair_lent(&setup);
    cleanup_fd_fn(&setup.session);
    serve(&setup);
    assert_false(setup.durable.lent);
    assert_int_equal(setup.durable.session, -1);
    close_setup(&setup);
}

static void test_what_was_acknowledged_meanwhile_is_released_afterwards(void **state)
{
    (void)state;
    struct setup setup;
    open_pair_lent(&setup);
    setup.durable.lease_ms = clock_deadline_ms(1000000); /* however slow we are */
    setup.moved = setup.durable.spool.head[0];           /* of a session that could not take it */
    tell_progress(&setup);
    serve(&setup);
    assert_true(setup.durable.lent);
    setup.durable.lease_ms = 0;
    serve(&setup);
    assert_false(setup.durable.lent);
    assert_int_equal(setup.durable.spool.tail[0], setup.moved);
    close_setup(&setup);
}

/* A session that stands still in the middle of a read. It makes the socket, as sessions do. */
static pid_t fork_session(int *out_ours)
{
    int link[2];
    assert_int_equal(wire_pair(link), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int ends[2];
        struct wire_message message = {.type = WIRE_JOB_STARTED};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (wire_pair(ends) < 0 || wire_send(link[1], &message, &ends[1], 1) < 0) {
            _exit(1);
        }
        (void)close(ends[1]);
        (void)close(link[0]);
        for (;;) {
            (void)pause();
        }
    }
    (void)close(link[1]);
    struct wire_message message;
    int fds[WIRE_FDS];
    struct pollfd entry = {.fd = link[0], .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 10000), 1);
    assert_int_equal(wire_receive(link[0], &message, fds), WIRE_MESSAGE);
    (void)close(link[0]);
    *out_ours = fds[0];
    return pid;
}

static void test_a_session_that_does_not_let_go_is_killed(void **state)
{
    (void)state;
    struct setup setup;
    struct wire_message result = {.type = WIRE_JOB_EXITED};
    int ours = -1, status = 0;
    pid_t session = fork_session(&ours);
    open_pair_lent(&setup);
    cleanup_fd_fn(&setup.durable.session);
    setup.durable.session = ours;              /* whose other end the child has */
    spool_file(&setup.durable.spool)->lease++; /* OPEN to BUSY */
    durable_exited(&setup.durable, &result);
    assert_false(setup.durable.lent);
    assert_int_equal(waitpid(session, &status, 0), session);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close_setup(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lent_pipes_have_flags_of_their_own),
        cmocka_unit_test(test_a_session_that_lags_is_lent_nothing),
        cmocka_unit_test(test_a_session_that_moves_little_loses_it),
        cmocka_unit_test(test_a_session_that_moves_much_keeps_it),
        cmocka_unit_test(test_the_end_of_the_shell_ends_it),
        cmocka_unit_test(test_the_end_of_the_session_ends_it),
        cmocka_unit_test(test_what_was_acknowledged_meanwhile_is_released_afterwards),
        cmocka_unit_test(test_a_session_that_does_not_let_go_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
