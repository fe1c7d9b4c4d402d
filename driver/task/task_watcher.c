/* SPDX-License-Identifier: MIT */
#include "driver/task/task_watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/jitter.h"

/* The runner waits until its pipes are closed, and this process must not write to the job's log. */
static void leave_streams(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (null_fd < 0 || dup2(null_fd, fd) < 0) {
            (void)close(fd);
        }
    }
    log_open("berth-driver", LOG_FATAL, LOG_TEXT, STDERR_FILENO);
}

__attribute__((noreturn)) static void look(const struct backend *backend, struct backend_task *task,
                                           int link_fd, int reason_fd, pid_t parent)
{
    struct error gone;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) {
        _exit(1);
    }
    leave_streams();
    keys_free(task->metadata->keys);
    task->metadata->keys = NULL;
    task->session = NULL; /* the parent's connections */
    task->signals = NULL; /* the runner's TERM is for the parent, which kills us */
    for (;;) {
        int64_t until_ms = clock_deadline_ms(jitter(backend->watch_pause_ms(task->config)));
        (void)signals_wait(NULL, -1, until_ms);
        if (backend->alive(task, BACKEND_WAIT, &gone) < 0) {
            /* The reason first: the parent reads it when the connection breaks. It fits into the
             * pipe. */
            (void)!write(reason_fd, &gone, sizeof(gone));
            (void)shutdown(link_fd, SHUT_RDWR);
            _exit(0);
        }
    }
}

void task_watcher_start(struct task_watcher *watch, const struct backend *backend,
                        struct backend_task *task, const struct ssh_connection *connection)
{
    task_watcher_stop(watch);
    if (backend->watch_pause_ms == NULL || connection == NULL) {
        return;
    }
    pid_t parent = getpid();
    int pipe_fds[2] = {-1, -1};
    pid_t pid = pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -1 : fork();
    if (pid == 0) {
        look(backend, task, ssh_connection_fd(connection), pipe_fds[1], parent);
    }
    int failed_errno = errno;
    if (pipe_fds[1] >= 0) {
        (void)close(pipe_fds[1]);
    }
    if (pid < 0) {
        if (pipe_fds[0] >= 0) {
            (void)close(pipe_fds[0]);
        }
        log_warn("cannot watch the task while the script runs: %s; a lost task is detected later",
                 strerror(failed_errno));
        return;
    }
    watch->pid = pid;
    watch->reason_fd = pipe_fds[0];
}

void task_watcher_stop(struct task_watcher *watch)
{
    if (watch->pid > 0) {
        (void)kill(watch->pid, SIGKILL);
        while (waitpid(watch->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        watch->pid = 0;
        (void)close(watch->reason_fd);
    }
}

bool task_watcher_reason(const struct task_watcher *watch, struct error *out_reason)
{
    struct error reason;
    if (watch->pid <= 0 ||
        read(watch->reason_fd, &reason, sizeof(reason)) != (ssize_t)sizeof(reason)) {
        return false;
    }
    *out_reason = reason;
    return true;
}
