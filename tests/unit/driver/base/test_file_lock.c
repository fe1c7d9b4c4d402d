/* SPDX-License-Identifier: MIT */
#include "driver/base/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/driver/rows.h"

#define LONG_MS 60000

static int open_file(void)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/lock", rows_directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void a_free_lock_needs_no_time(void **state)
{
    (void)state;
    int fd = open_file();
    assert_int_equal(file_lock(fd, NULL, 0), 1);
    assert_int_equal(close(fd), 0);
}

static void a_held_lock_ends_the_wait_at_the_deadline(void **state)
{
    (void)state;
    int held = open_file();
    int fd = open_file();
    assert_int_equal(file_lock(held, NULL, 0), 1);
    assert_int_equal(file_lock(fd, NULL, 0), 0);
    int64_t from_ms = clock_now_ms();
    assert_int_equal(file_lock(fd, NULL, from_ms + 100), 0);
    assert_true(clock_now_ms() >= from_ms + 100);
    assert_int_equal(close(held), 0);
    assert_int_equal(file_lock(fd, NULL, 0), 1);
    assert_int_equal(close(fd), 0);
}

/* The holder lets go when the waiter has been turned away once. */
static void a_wait_gets_a_lock_that_is_released(void **state)
{
    (void)state;
    int ready[2];
    int held = open_file();
    assert_int_equal(file_lock(held, NULL, 0), 1);
    assert_int_equal(pipe(ready), 0);
    pid_t waiter = fork();
    assert_true(waiter >= 0);
    if (waiter == 0) {
        int fd = open_file();
        int first = file_lock(fd, NULL, 0);
        (void)!write(ready[1], "x", 1);
        _exit(first == 0 && file_lock(fd, NULL, clock_deadline_ms(LONG_MS)) == 1 ? 0 : 1);
    }
    char byte = 0;
    int status = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(flock(held, LOCK_UN), 0);
    assert_int_equal(waitpid(waiter, &status, 0), waiter);
    assert_int_equal(status, 0);
    assert_int_equal(close(held), 0);
    assert_int_equal(close(ready[0]), 0);
    assert_int_equal(close(ready[1]), 0);
}

static void a_request_to_stop_ends_the_wait(void **state)
{
    (void)state;
    struct signals signals;
    struct error err;
    int held = open_file();
    int fd = open_file();
    signals_block();
    assert_int_equal(signals_open(&signals, &err), 0);
    assert_int_equal(file_lock(held, &signals, 0), 1);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(file_lock(fd, &signals, clock_deadline_ms(LONG_MS)), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(close(held), 0);
    /* A free one needs no wait. */
    assert_int_equal(file_lock(fd, &signals, clock_deadline_ms(LONG_MS)), 1);
    assert_int_equal(close(fd), 0);
    signals_done(&signals);
}

static void what_cannot_be_locked_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(file_lock(-1, NULL, clock_deadline_ms(LONG_MS)), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_free_lock_needs_no_time),
        cmocka_unit_test(a_held_lock_ends_the_wait_at_the_deadline),
        cmocka_unit_test(a_wait_gets_a_lock_that_is_released),
        cmocka_unit_test(a_request_to_stop_ends_the_wait),
        cmocka_unit_test(what_cannot_be_locked_is_an_error),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
