/* SPDX-License-Identifier: MIT */
/*
 * main_command.c - "berth-agent -- COMMAND...": a command beside the SSH server, as under tini.
 *
 * It leads a process group of its own, gets the signals that init gets, and its end is the end of
 * everything: init exits with its status, 128 + n for signal n.
 */
#include "agent/init/main_command.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/init/rewrite.h"
#include "agent/job/start.h"
#include "common/log.h"

enum { EXEC_FAILED = 126, EXEC_NOT_FOUND = 127, EXIT_SIGNAL_BASE = 128 };

static _Noreturn void run(const struct init *init)
{
    char *const *command = init->options->command;
    (void)setpgid(0, 0);
    /* Only one of us may read the terminal, and it is not init. SIGTTOU is still blocked. */
    (void)tcsetpgrp(STDIN_FILENO, getpid());
    job_reset_signals();
    (void)execvp(command[0], command);
    int reason = errno;
    log_error("cannot execute '%s': %m", command[0]);
    _exit(reason == ENOENT ? EXEC_NOT_FOUND : EXEC_FAILED);
}

int main_command_start(struct init *init, struct error *err)
{
    if (init->options->command == NULL) {
        return 0;
    }
    pid_t pid = fork();
    if (pid < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot fork the main command");
    }
    if (pid == 0) {
        run(init);
    }
    (void)setpgid(pid, pid); /* by both sides: whoever comes first */
    init->main_pid = pid;
    log_info("main command '%s' started as %d", init->options->command[0], (int)pid);
    return 0;
}

bool main_command_signal(const struct init *init, int number)
{
    if (init->main_pid == 0) {
        return false;
    }
    int sent = rewrite_signal(init->options->rewrite, number);
    if (sent == 0) {
        log_debug("signal %d is not passed on (--rewrite)", number);
        return true;
    }
    bool to_group = init->options->group && !init->options->single_child;
    (void)kill(to_group ? -init->main_pid : init->main_pid, sent); /* it may have ended */
    return true;
}

void main_command_ended(struct init *init, int status)
{
    int code = WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
    log_info("main command ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    init->main_pid = 0;
    init->exit_code = rewrite_has_code(init->options->success_codes, code) ? 0 : code;
    shutdown_begin(init, "the main command ended");
}
