/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/wait.h>

#include "agent/init/init.h"
#include "agent/init/main_command.h"
#include "common/cleanup.h"
#include "common/log.h"

/* SIGCHLD coalesces, and as PID 1 or subreaper every orphan ends here too. */
static void forget_child(struct init *init, pid_t pid, int status)
{
    if (pid == init->main_pid) {
        main_command_ended(init, status);
        return;
    }
    for (int i = 0; i < LIMIT_CONNECTIONS; i++) {
        struct connection *connection = &init->connections[i];
        if (connection->pid == pid) {
            if (WIFSIGNALED(status)) {
                log_warn("session %d of %s died of signal %d", (int)pid, connection->address,
                         WTERMSIG(status));
            }
            connection->pid = 0;
            cleanup_fd_fn(&connection->control);
            return;
        }
    }
    for (int i = 0; i < LIMIT_JOBS; i++) {
        if (init->jobs[i] == pid) {
            if (WIFSIGNALED(status)) {
                log_warn("job monitor %d died of signal %d", (int)pid, WTERMSIG(status));
            }
            init->jobs[i] = 0;
            return;
        }
    }
    log_line(init->options->warn_on_reap ? LOG_WARN : LOG_DEBUG, "reaped orphan %d", (int)pid);
}

void reap_all(struct init *init)
{
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno != EINTR)) {
            return;
        }
        if (pid > 0) {
            forget_child(init, pid, status);
        }
    }
}
