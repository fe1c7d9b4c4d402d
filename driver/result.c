/* SPDX-License-Identifier: MIT */
#include "driver/result.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

struct result result_from_error(const struct error *err)
{
    bool for_good = err->kind == ERROR_USAGE || err->kind == ERROR_BUILD;
    return (struct result){.kind = for_good ? RESULT_BUILD : RESULT_SYSTEM};
}

struct result result_from_status(int status)
{
    if (status == 0) {
        return (struct result){.kind = RESULT_SUCCESS};
    }
    /* The wire has 32 bits; a status of a process has 8, and 0 would claim success. */
    bool odd = status < 0 || status > 255;
    return (struct result){.kind = RESULT_SCRIPT, .status = odd ? 255 : status};
}

struct result result_from_signal(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {
        {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},
        {"ILL", SIGILL},   {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE},
        {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1},
        {"USR2", SIGUSR2}, {"BUS", SIGBUS},   {"SYS", SIGSYS},   {"TRAP", SIGTRAP},
        {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
    };
    size_t length = strcspn(name, "@"); /* names outside the RFC carry "@domain" */
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strlen(signals[i].name) == length && strncmp(signals[i].name, name, length) == 0) {
            return result_from_status(128 + signals[i].number);
        }
    }
    return result_from_status(128);
}

struct result result_from_outcome(const struct ssh_outcome *outcome)
{
    if (outcome->cancelled) {
        return (struct result){.kind = RESULT_CANCELLED};
    }
    if (outcome->task_stopping) { /* whatever status it says: a script may have trapped the end */
        return (struct result){.kind = RESULT_SYSTEM};
    }
    return outcome->signal[0] != '\0' ? result_from_signal(outcome->signal)
                                      : result_from_status(outcome->status);
}

static int write_plainly(const char *path, const char *text, size_t length)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    return fd < 0 ? -1 : fd_write_all(fd, text, length, clock_deadline_ms(5000));
}

static void write_status(const char *path, int status)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d\n", status);
    struct error err;
    if (fd_replace_file(path, text, (size_t)length, 0600, &err) == 0) {
        return;
    }
    /* The directory may be read-only for us while the file itself is not. */
    if (write_plainly(path, text, (size_t)length) < 0) {
        log_warn("cannot write the script's status to BUILD_EXIT_CODE_FILE '%s': %s, so "
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
