/* SPDX-License-Identifier: MIT */
#include "driver/runner/result.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/signal_names.h"

struct result result_from_error(const struct error *err)
{
    bool for_good =
        err->kind == ERROR_USAGE || err->kind == ERROR_OPTION || err->kind == ERROR_BUILD;
    return (struct result){.kind = for_good ? RESULT_BUILD : RESULT_SYSTEM};
}

static struct result from_status(int status)
{
    if (status == 0) {
        return (struct result){.kind = RESULT_SUCCESS};
    }
    /* The protocol has 32 bits, the status of a process 8, and 0 would mean success. */
    bool odd = status < 0 || status > 255;
    return (struct result){.kind = RESULT_SCRIPT, .status = odd ? 255 : status};
}

/* 'name' as in RFC 4254 6.10, without "SIG". */
static struct result from_signal(const char *name)
{
    size_t length = strcspn(name, "@"); /* names outside the RFC carry "@domain" */
    return from_status(128 + signal_number(name, length)); /* 128: an unknown signal */
}

int result_check_begun(const struct job_outcome *outcome, const char *entrypoint, struct error *err)
{
    char end[64];
    if (!outcome->unbegun || outcome->cancelled || outcome->task_stopping) {
        return 0;
    }
    if (outcome->signal[0] != '\0') {
        (void)snprintf(end, sizeof(end), "was killed by signal %s", outcome->signal);
    } else {
        (void)snprintf(end, sizeof(end), "exited with status %d", outcome->status);
    }
    if (entrypoint[0] != '\0') {
        (void)error_set(err, ERROR_BUILD, 0,
                        "the script was not started: the job's entrypoint '%s' %s first",
                        entrypoint, end);
        return error_hint(err, RESULT_ENTRYPOINT_HINT);
    }
    return error_set(
        err, ERROR_BUILD, 0,
        "the command was not started: the shell in the task %s first; check the shell's startup "
        "files (such as ~/.bashrc and BASH_ENV) for 'exit', 'exec' or 'read', and the output above",
        end);
}

struct result result_from_outcome(const struct job_outcome *outcome)
{
    if (outcome->cancelled) {
        return (struct result){.kind = RESULT_CANCELLED};
    }
    if (outcome->task_stopping) { /* whatever the status: the script may have trapped the signal */
        return (struct result){.kind = RESULT_SYSTEM};
    }
    return outcome->signal[0] != '\0' ? from_signal(outcome->signal) : from_status(outcome->status);
}

static void write_status(const char *path, int status)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d\n", status);
    struct error err;
    if (fd_replace_file(path, text, (size_t)length, 0600, &err) == 0) {
        return;
    }
    /* The file may be writable when its directory is not. */
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 || fd_write_all(fd, text, (size_t)length, clock_deadline_ms(5000)) < 0) {
        log_warn("cannot write the script's status to BUILD_EXIT_CODE_FILE '%s': %s; "
                 "allow_failure:exit_codes will not see %d",
                 path, strerror(errno), status);
    }
}

int result_exit_code(struct result result, const struct runner *runner)
{
    switch (result.kind) {
    case RESULT_SUCCESS:
        return 0;
    case RESULT_SCRIPT:
        if (runner->exit_code_file != NULL) {
            write_status(runner->exit_code_file, result.status);
        }
        return runner->build_failure_code;
    case RESULT_CANCELLED:
    case RESULT_BUILD:
        return runner->build_failure_code;
    case RESULT_SYSTEM:
        break;
    }
    return runner->system_failure_code;
}

int result_exec_exit_code(struct result result, int stop_signal)
{
    switch (result.kind) {
    case RESULT_SUCCESS:
        return 0;
    case RESULT_SCRIPT:
        return result.status;
    case RESULT_CANCELLED:
        return 128 + stop_signal;
    case RESULT_BUILD:
    case RESULT_SYSTEM:
        break;
    }
    return RESULT_EXEC_OWN_FAILURE;
}
