/* SPDX-License-Identifier: MIT */
/*
 * main_command.c - "berth-agent -- COMMAND...": a command beside the SSH server, as with tini.
 *
 * It leads its own process group and gets the signals that init gets. When it exits, the agent
 * shuts down and exits with the same status, 128 + n for signal n.
 */
#include "agent/init/main_command.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child/start.h"
#include "agent/signal_map.h"
#include "common/log.h"

enum { EXEC_FAILED = 126, EXEC_NOT_FOUND = 127, EXIT_SIGNAL_BASE = 128 };

static _Noreturn void run(const struct init *init)
{
    char *const *command = init->options->command;
    (void)setpgid(0, 0);
    /* The command, not init, may read the terminal. SIGTTOU is still blocked. */
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
    (void)setpgid(pid, pid); /* parent and child both call it: either may run first */
    init->main_pid = pid;
    log_info("main command '%s' started as %d", init->options->command[0], (int)pid);
    return 0;
}

bool main_command_signal(const struct init *init, int number)
{
    if (init->main_pid == 0) {
        return false;
    }
    int sent = signal_map_signal(init->options->rewrite, number);
    if (sent == 0) {
        log_debug("signal %d is not forwarded (--rewrite)", number);
        return true;
    }
    bool to_group = init->options->group && !init->options->single_child;
    (void)kill(to_group ? -init->main_pid : init->main_pid, sent); /* it may have ended */
    return true;
}

void main_command_ended(struct init *init, int status)
{
    int code = WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
    log_info("main command %s %d",
             WIFSIGNALED(status) ? "was killed by signal" : "exited with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    init->main_pid = 0;
    init->exit_code = signal_map_has_code(init->options->success_codes, code) ? 0 : code;
}
