/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/init/main_command.h"
#include "agent/ipc/job_pids.h"
#include "agent/monitor/process_tree.h"
#include "common/clock.h"
#include "common/log.h"

/* A monitor exits after its job's last process unless something kills it. Then no process can
 * report the job's result or stop it, so it is killed here; the session sees its socket close and
 * reports SIGKILL. Processes in another session than the job's are leftovers, which run until the
 * agent exits. */
static void on_monitor_end(struct init *init, int row, pid_t pid, int status)
{
    if (WIFSIGNALED(status)) {
        tree_kill_orphans(getpid(), pid); /* a job before its setsid() */
    }
    pid_t job = job_pids_take(row);
    if (WIFSIGNALED(status)) {
        log_warn("monitor %d of job %d was killed by signal %d, killing the job's processes",
                 (int)pid, (int)job, WTERMSIG(status));
        tree_kill_orphans(getpid(), job); /* none for a job that did not start */
    }
    jobs_ended(init, row, WIFSIGNALED(status));
}

static void on_child_exit(struct init *init, pid_t pid, int status, int64_t cpu_us)
{
    if (pid == init->main_pid) {
        main_command_ended(init, status);
        shutdown_begin(init, "the main command exited");
        return;
    }
    for (int i = 0; i < init->connections_top; i++) {
        if (init->connections[i].pid == pid) {
            connection_ended(init, &init->connections[i], status, cpu_us);
            return;
        }
    }
    int row = jobs_find(init, pid);
    if (row >= 0) {
        on_monitor_end(init, row, pid, status);
        return;
    }
    log_line(init->options->warn_on_reap ? LOG_WARN : LOG_DEBUG, "reaped orphan %d", (int)pid);
}

static int64_t microseconds(const struct rusage *usage)
{
    return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
           usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

void reap_all(struct init *init)
{
    for (int count = 0;; count++) {
        int status = 0;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, WNOHANG, &usage);
        if (pid == 0 || (pid < 0 && errno != EINTR)) {
            int64_t now_ms = clock_now_ms();
            init->reaped = now_ms == init->reaped_ms ? init->reaped + count : count;
            init->reaped_ms = now_ms;
            init->reap_again_ms = init->reaped >= LIMIT_REAPED_AT_ONCE ? now_ms + 1 : CLOCK_NEVER;
            return;
        }
        if (pid > 0) {
            on_child_exit(init, pid, status, microseconds(&usage));
        }
    }
}
