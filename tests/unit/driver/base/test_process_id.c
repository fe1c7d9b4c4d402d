/* SPDX-License-Identifier: MIT */
#include "driver/base/process_id.h"

#include <sys/wait.h>

#include "tests/unit/driver/rows.h"

static pid_t exited_child(void)
{
    siginfo_t info;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(3);
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

/* What is not known runs no more, and is no child of ours that another part waits for. */
static void an_unknown_process_takes_no_child(void **state)
{
    (void)state;
    static const pid_t unknown[] = {0, -1};
    for (size_t i = 0; i < ROW_COUNT(unknown); i++) {
        int status = 0;
        struct process_id identity = {.pid = unknown[i]};
        pid_t pid = exited_child();
        assert_false(process_id_runs(&identity));
        assert_true(process_id_wait(&identity, 0));
        assert_int_equal(waitpid(pid, &status, WNOHANG), pid);
        assert_int_equal(WEXITSTATUS(status), 3);
    }
}

static void this_process_runs_and_a_zombie_does_not(void **state)
{
    (void)state;
    struct process_id identity;
    assert_int_equal(process_id_get(getpid(), &identity, NULL), 0);
    assert_true(process_id_runs(&identity));
    assert_false(process_id_is_gone(&identity));
    identity.start_ticks++; /* another process of the same number */
    assert_false(process_id_runs(&identity));
    assert_true(process_id_is_gone(&identity));
    pid_t pid = exited_child();
    assert_int_equal(process_id_get(pid, &identity, NULL), 0);
    assert_true(process_id_is_gone(&identity));
    assert_false(process_id_runs(&identity)); /* which reaps it */
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_process_takes_no_child),
        cmocka_unit_test(this_process_runs_and_a_zombie_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
