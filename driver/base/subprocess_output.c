/* SPDX-License-Identifier: MIT */
#include "driver/base/subprocess_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

__attribute__((noreturn)) static void become(char *const argv[], int in_fd, int out_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    signals_restore_defaults();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Its messages could contain the secret, and must not get into the job's log. */
    if (null < 0 || dup2(in_fd < 0 ? null : in_fd, STDIN_FILENO) < 0 ||
        dup2(out_fd, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)execvp(argv[0], argv);
    _exit(127);
}

/* Reads to end of file. -1 for the deadline, a signal, or too much output. */
static int collect(struct signals *signals, int fd, int64_t deadline_ms, struct buffer *out,
                   struct error *err)
{
    for (;;) {
        char part[4096];
        int ready = signals_wait(signals, fd, deadline_ms);
        if (ready <= 0) {
            return error_set(err, ERROR_SYSTEM, ready < 0 ? EINTR : ETIMEDOUT,
                             ready < 0 ? "stopped by a signal" : "it did not exit in time");
        }
        ssize_t got = read(fd, part, sizeof(part));
        if (got == 0) {
            return 0;
        }
        int kept = got < 0 ? -1 : buffer_append(out, part, (size_t)got);
        explicit_bzero(part, sizeof(part));
        if (got < 0 && errno != EINTR) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot read its output");
        }
        if (got > 0 && kept < 0) {
            return error_set(err, ERROR_LIMIT, 0, "its output is longer than %zu bytes",
                             out->ceiling_bytes);
        }
    }
}

/* Reaps the process, which exits soon after end of file; kills it at the deadline. */
static int reap(pid_t pid, int64_t deadline_ms, int *out_status)
{
    while (waitpid(pid, out_status, WNOHANG) == 0) {
        if (clock_now_ms() >= deadline_ms) {
            (void)kill(-pid, SIGKILL);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, out_status, 0);
            return -1;
        }
        (void)poll(NULL, 0, 5);
    }
    return 0;
}

int subprocess_read_output(char *const argv[], const char *input, struct signals *signals,
                           int64_t deadline_ms, struct buffer *out, struct error *err)
{
    int pipes[2] = {-1, -1};
    int status = 0;
    cleanup_fd int in = -1;
    if (input != NULL) {
        in = fd_memory_file("input", 0, err);
        if (in < 0) {
            return -1;
        }
        if (fd_write_all(in, input, strlen(input), CLOCK_NEVER) < 0 || lseek(in, 0, SEEK_SET) < 0) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot write to a file in memory");
        }
    }
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot make a pipe");
    }
    cleanup_fd int from = pipes[0];
    cleanup_fd int to = pipes[1];
    pid_t pid = fork();
    if (pid < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start a process");
    }
    if (pid == 0) {
        become(argv, in, to);
    }
    (void)close(steal_fd(&to));
    int collected = collect(signals, from, deadline_ms, out, err);
    int reaped = reap(pid, collected < 0 ? 0 : deadline_ms, &status);
    if (collected < 0) {
        return -1;
    }
    if (reaped < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' %s %d; run it manually to see why", argv[0],
                         WIFEXITED(status) ? "exited with status" : "was killed by signal",
                         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return 0;
}
