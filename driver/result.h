/* SPDX-License-Identifier: MIT */
/*
 * result.h - the only place that turns what happened into an exit code.
 *
 * A script that ended by itself is a build failure with its status in BUILD_EXIT_CODE_FILE; a
 * script ended by a signal counts as status 128 + n, as a shell would say. Whatever the job is not
 * to blame for is a system failure, so that "retry: runner_system_failure" works; a mistake in
 * configuration is a build failure, because the runner's retry of 'prepare' could not heal it.
 */
#ifndef BERTH_DRIVER_RESULT_H
#define BERTH_DRIVER_RESULT_H

#include "common/error.h"
#include "driver/runner.h"
#include "driver/ssh.h"

enum result_kind {
    RESULT_SUCCESS,
    RESULT_SCRIPT,    /* the script's own status, other than 0 */
    RESULT_CANCELLED, /* a signal asked us to stop, and the job has been ended */
    RESULT_BUILD,
    RESULT_SYSTEM,
};

struct result {
    enum result_kind kind;
    int status; /* for RESULT_SCRIPT: 1 to 255 */
};

struct result result_from_error(const struct error *err);
struct result result_from_status(int status);
/* 'name' as in RFC 4254 6.10, without "SIG". */
struct result result_from_signal(const char *name);
/* What came of a command; a stop that was asked for counts as cancelled, one of the whole task by
 * somebody else as a system failure. */
struct result result_from_outcome(const struct ssh_outcome *outcome);

/* The exit code for the runner; writes BUILD_EXIT_CODE_FILE for RESULT_SCRIPT and logs when that
 * is not possible. */
int result_exit_code(struct result result, const struct runner *runner);

/* The exit code of 'exec': the command's own, or 255 when Berth itself failed. */
#define RESULT_EXEC_OWN_FAILURE 255
int result_exec_exit_code(struct result result, int stop_signal);

#endif
