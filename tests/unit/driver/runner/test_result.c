/* SPDX-License-Identifier: MIT */
/* The status of a script that was ended by a signal, by the names that SSH servers give. */
#include "driver/runner/result.h"

#include <signal.h>
#include <stdio.h>

#include "tests/unit/rows.h"

static const struct row {
    const char *name;
    int status;
} rows[] = {
    {"ABRT", 128 + SIGABRT},
    {"ALRM", 128 + SIGALRM},
    {"BUS", 128 + SIGBUS},
    {"FPE", 128 + SIGFPE},
    {"HUP", 128 + SIGHUP},
    {"ILL", 128 + SIGILL},
    {"INT", 128 + SIGINT},
    {"KILL", 128 + SIGKILL},
    {"PIPE", 128 + SIGPIPE},
    {"QUIT", 128 + SIGQUIT},
    {"SEGV", 128 + SIGSEGV},
    {"SYS", 128 + SIGSYS},
    {"TERM", 128 + SIGTERM},
    {"TRAP", 128 + SIGTRAP},
    {"USR1", 128 + SIGUSR1},
    {"USR2", 128 + SIGUSR2},
    {"XCPU", 128 + SIGXCPU},
    {"XFSZ", 128 + SIGXFSZ},
    {"SIG", 128},
    {"SIGTERM", 128},
    {"KIL", 128},
    {"KILLED", 128},
    {"kill", 128},
    {"?", 128},
};

static struct result of_signal(const char *name, const char *domain)
{
    struct job_outcome outcome = {.status = 0};
    (void)snprintf(outcome.signal, sizeof(outcome.signal), "%s%s", name, domain);
    return result_from_outcome(&outcome);
}

static void test_status(void **state)
{
    const struct row *row = *state;
    struct result result = of_signal(row->name, "");
    assert_int_equal(result.kind, RESULT_SCRIPT);
    assert_int_equal(result.status, row->status);
    result = of_signal(row->name, "@openssh.com");
    assert_int_equal(result.kind, RESULT_SCRIPT);
    assert_int_equal(result.status, row->status);
}

int main(void)
{
    return rows_run(rows, test_status);
}
