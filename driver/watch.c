/* SPDX-License-Identifier: MIT */
#include "driver/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/* Up to a quarter more or less: the jobs of one pipeline start together. */
static int64_t jitter(int64_t pause_ms)
{
    return pause_ms - pause_ms / 4 + (int64_t)randombytes_uniform((uint32_t)(pause_ms / 2) + 1);
}

/* The runner waits until its pipes are closed, and the job's log is not this process's. */
static void leave_streams(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        (void)dup2(null_fd, fd);
    }
    log_open("berth-driver", LOG_FATAL, LOG_TEXT, STDERR_FILENO);
}

__attribute__((noreturn)) static void look(const struct backend *backend, struct backend_task *task,
                                           int fd, pid_t parent)
{
    struct error gone;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) {
        _exit(1);
    }
    leave_streams();
    keys_free(task->metadata->keys);
    task->metadata->keys = NULL;
    task->session = NULL; /* the parent's connections */
    task->signals = NULL; /* the runner's TERM is for the parent, which ends us */
    for (;;) {
        int64_t until_ms = clock_deadline_ms(jitter(backend->watch_pause_ms(task->config)));
        (void)signals_wait(NULL, -1, until_ms);
        if (backend->alive(task, &gone) < 0) {
            (void)shutdown(fd, SHUT_RDWR);
            _exit(0);
        }
    }
}

void watch_start(struct watch *watch, const struct backend *backend, struct backend_task *task,
                 const struct ssh_link *link)
{
    watch_stop(watch);
    if (backend->watch_pause_ms == NULL || link == NULL) {
        return;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        look(backend, task, ssh_link_fd(link), parent);
    }
    if (pid < 0) {
        log_warn("cannot watch the task while the script runs: %s; a lost task shows later",
                 strerror(errno));
        return;
    }
    watch->pid = pid;
}

void watch_stop(struct watch *watch)
{
    if (watch->pid > 0) {
        (void)kill(watch->pid, SIGKILL);
        while (waitpid(watch->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        watch->pid = 0;
    }
}
