/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/init/main_command.h"
#include "agent/job/register.h"
#include "agent/job/tree.h"
#include "common/clock.h"
#include "common/log.h"

/* A monitor ends after its job's last process unless something kills it. Then nobody is left who
 * could tell the job's result or end it in time, so it ends now; the session saw its socket hang
 * up and reports SIGKILL. What the job detached from its own session on purpose is a leftover like
 * others and goes when the agent ends. */
static void on_monitor_end(pid_t pid, int status)
{
    if (WIFSIGNALED(status)) {
        tree_kill_orphans(getpid(), pid); /* a job that had not left the monitor's session yet */
    }
    pid_t job = register_take(pid);
    if (WIFSIGNALED(status)) {
        log_warn("monitor %d of job %d died of signal %d, killing what it left", (int)pid, (int)job,
                 WTERMSIG(status));
        tree_kill_orphans(getpid(), job); /* which kills nothing for a job that never started */
    }
}

/* SIGCHLD coalesces, and as PID 1 or subreaper every orphan ends here too. */
static void forget_child(struct init *init, pid_t pid, int status)
{
    if (pid == init->main_pid) {
        main_command_ended(init, status);
        return;
    }
    for (int i = 0; i < init->connections_top; i++) {
        struct connection *connection = &init->connections[i];
        if (connection->pid == pid) {
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
                log_error("session %d of %s was killed by its seccomp filter (SIGSYS)", (int)pid,
                          connection->address);
            } else if (WIFSIGNALED(status) && !connection->displaced) {
                log_warn("session %d of %s died of signal %d", (int)pid, connection->address,
                         WTERMSIG(status));
            }
            connection_free_slot(init, connection);
            return;
        }
    }
    for (int i = 0; i < init->jobs_top; i++) {
        if (init->jobs[i] == pid) {
            on_monitor_end(pid, status);
            jobs_free_slot(init, i);
            durable_job_forget(init, pid, WIFSIGNALED(status));
            return;
        }
    }
    log_line(init->options->warn_on_reap ? LOG_WARN : LOG_DEBUG, "reaped orphan %d", (int)pid);
}

static void pace(struct init *init, int count)
{
    int64_t now_ms = clock_now_ms();
    init->reaped = now_ms == init->reaped_ms ? init->reaped + count : count;
    init->reaped_ms = now_ms;
    init->reap_again_ms = init->reaped >= LIMIT_REAPED_AT_ONCE ? now_ms + 1 : CLOCK_NEVER;
}

void reap_all(struct init *init)
{
    for (int count = 0;; count++) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno != EINTR)) {
            pace(init, count);
            return;
        }
        if (pid > 0) {
            forget_child(init, pid, status);
        }
    }
}
