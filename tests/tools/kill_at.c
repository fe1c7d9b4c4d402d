/* SPDX-License-Identifier: MIT */
/*
 * kill-at - runs a program and kills it at its system call number N, before the kernel does it:
 *
 *   kill-at N PROGRAM ARGUMENT...
 *
 * Only the program's first process is traced. The last line of standard error is "calls: N", the
 * number of calls that it began; it exits like the program, with 137 after the kill.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSCALL_STOP (SIGTRAP | 0x80)

static int trace(pid_t pid, long limit)
{
    int status = 0;
    long calls = 0;
    int entering = 0;
    long signal_number = 0;
    (void)waitpid(pid, &status, 0);
    (void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (;;) {
        (void)ptrace(PTRACE_SYSCALL, pid, NULL, signal_number);
        if (waitpid(pid, &status, 0) < 0 || WIFEXITED(status) || WIFSIGNALED(status)) {
            break;
        }
        signal_number = 0;
        if (WSTOPSIG(status) != SYSCALL_STOP) {
            signal_number = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status); /* 0: of exec */
            continue;
        }
        entering = !entering;
        if (entering && ++calls == limit) {
            (void)kill(pid, SIGKILL);
        }
    }
    (void)fprintf(stderr, "calls: %ld\n", calls);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: kill-at N PROGRAM ARGUMENT...\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        (void)raise(SIGSTOP);
        (void)execvp(argv[2], argv + 2);
        _exit(127);
    }
    return pid < 0 ? 1 : trace(pid, strtol(argv[1], NULL, 10));
}
