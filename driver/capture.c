/* SPDX-License-Identifier: MIT */
#include "driver/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
    /* Its messages could hold what it prints: the job's log must not get them. */
    if (null < 0 || dup2(in_fd < 0 ? null : in_fd, STDIN_FILENO) < 0 ||
        dup2(out_fd, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)execvp(argv[0], argv);
    _exit(127);
}

/* Reads to the end of file. -1 with 'err' for a deadline, a signal, or too much. */
static int collect(struct signals *signals, int fd, int64_t deadline_ms, struct buffer *out,
                   struct error *err)
{
    for (;;) {
        char part[4096];
        int ready = signals_wait(signals, fd, deadline_ms);
        if (ready <= 0) {
            return error_set(err, ERROR_SYSTEM, ready < 0 ? EINTR : ETIMEDOUT,
                             ready < 0 ? "stopped by a signal" : "it did not end in time");
        }
        ssize_t got = read(fd, part, sizeof(part));
        if (got == 0) {
            return 0;
        }
        int kept = got < 0 ? -1 : buffer_append(out, part, (size_t)got);
        explicit_bzero(part, sizeof(part));
        if (got < 0 && errno != EINTR) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot read what it prints");
        }
        if (got > 0 && kept < 0) {
            return error_set(err, ERROR_LIMIT, 0, "it prints more than %zu bytes",
                             out->ceiling_bytes);
        }
    }
}

/* After end of file the process has at most a moment left. */
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

/* A memory file with the text, at its start. */
static int open_input(const char *input)
{
    cleanup_fd int fd = memfd_create("input", MFD_CLOEXEC);
    return fd < 0 || fd_write_all(fd, input, strlen(input), CLOCK_NEVER) < 0 ||
                   lseek(fd, 0, SEEK_SET) < 0
               ? -1
               : steal_fd(&fd);
}

/* The end of the process, once its output has been collected or could not be. */
static int judge(pid_t pid, const char *name, int collected, int64_t deadline_ms, struct error *err)
{
    int status = 0;
    int reaped = reap(pid, collected < 0 ? 0 : deadline_ms, &status);
    if (collected < 0) {
        return -1;
    }
    if (reaped < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' ended with %s %d; run it by hand to see why",
                         name, WIFEXITED(status) ? "status" : "signal",
                         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return 0;
}

int capture_run(char *const argv[], const char *input, struct signals *signals, int64_t deadline_ms,
                struct buffer *out, struct error *err)
{
    int pipes[2] = {-1, -1};
    cleanup_fd int in = input == NULL ? -1 : open_input(input);
    if ((input != NULL && in < 0) || pipe2(pipes, O_CLOEXEC) < 0) {
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
    return judge(pid, argv[0], collect(signals, from, deadline_ms, out, err), deadline_ms, err);
}
