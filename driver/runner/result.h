/* SPDX-License-Identifier: MIT */
/*
 * result.h - turns what happened into an exit code; nothing else does.
 *
 * A script that exited is a build failure with its status in BUILD_EXIT_CODE_FILE; a script that
 * was killed by a signal counts as status 128 + n, as in a shell. What is not the job's fault is a
 * system failure, so that "retry: runner_system_failure" works. A mistake in the configuration is a
 * build failure, because the runner's retry of 'prepare' cannot fix it.
 */
#ifndef BERTH_DRIVER_RUNNER_RESULT_H
#define BERTH_DRIVER_RUNNER_RESULT_H

#include "common/error.h"
#include "driver/runner/outcome.h"
#include "driver/runner/runner.h"

enum result_kind {
    RESULT_SUCCESS,
    RESULT_SCRIPT,    /* the script's own status, other than 0 */
    RESULT_CANCELLED, /* stopped by request, and the job has ended */
    RESULT_BUILD,
    RESULT_SYSTEM,
};

struct result {
    enum result_kind kind;
    int status; /* for RESULT_SCRIPT: 1 to 255 */
};

struct result result_from_error(const struct error *err);
#define RESULT_ENTRYPOINT_HINT                                                                    \
    "it must execute its arguments, as 'exec \"$@\"' in a script does; correct 'entrypoint:' of " \
    "the job's image, or leave it out"

/* Returns -1 (ERROR_BUILD) when the shell exited before it began the command: a startup file or the
 * image is the cause, so a retry cannot fix it. 'entrypoint': the program that starts the shell by
 * the job's 'entrypoint:'; empty: none. */
int result_check_begun(const struct job_outcome *outcome, const char *entrypoint, struct error *err)
    __attribute__((warn_unused_result));
/* A stop by request counts as cancelled, one of the whole task from outside as a system failure. */
struct result result_from_outcome(const struct job_outcome *outcome);

/* The exit code for the runner; writes BUILD_EXIT_CODE_FILE for RESULT_SCRIPT and logs when that
 * is not possible. */
int result_exit_code(struct result result, const struct runner *runner);

/* The exit code of 'exec': the command's own, or 255 when Berth itself failed. */
#define RESULT_EXEC_OWN_FAILURE 255
int result_exec_exit_code(struct result result, int stop_signal);

#endif
