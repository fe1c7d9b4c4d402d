/* SPDX-License-Identifier: MIT */
/*
 * timed.c - runs a command and prints its resource usage: timed FILE COMMAND...
 *
 * FILE gets one line: wall nanoseconds, user and system microseconds, largest resident set in KiB
 * (of the largest process), exit status or 128 + signal. A process of its own, because Linux counts
 * the memory of the process that forked as the child's until it executes something else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int argc, char **argv)
{
    int status = 0;
    struct rusage usage;
    FILE *file = argc < 3 ? NULL : fopen(argv[1], "we");
    if (file == NULL) {
        (void)fputs("timed: usage: timed FILE COMMAND...\n", stderr);
        return 2;
    }
    long long started_ns = now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        (void)execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) < 0) {
        perror("timed");
        return 2;
    }
    long long wall_ns = now_ns() - started_ns;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    (void)fprintf(file, "%lld %lld %lld %ld %d\n", wall_ns, microseconds(usage.ru_utime),
                  microseconds(usage.ru_stime), usage.ru_maxrss, code);
    (void)fclose(file);
    return code;
}
