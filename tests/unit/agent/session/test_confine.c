/* SPDX-License-Identifier: MIT */
/*
 * Each row makes one system call in a confined child and checks how the child exits. The source is
 * included, so that the filter is built although this program has AddressSanitizer.
 */
#define CONFINE_FILTERS true
#include "agent/session/confine.c" /* NOLINT(bugprone-suspicious-include) */

#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "tests/unit/rows.h"

enum { NOT_CONFINED = 100, FAILED_CALL = 101 };

struct call_row {
    const char *name;
    long number;
    long arguments[6];
    bool allowed;
};

#define PIPE_FD 100

static char *const no_words[] = {NULL};
static int ends[2];

#define ADDRESS(text) ((long)(intptr_t)(text))

static const struct call_row call_rows[] = {
    {"getpid", __NR_getpid, {0}, true},
    {"write of nothing", __NR_write, {STDERR_FILENO, 0, 0}, true},
    {"memory", __NR_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1}, true},
    {"memory file", __NR_memfd_create, {ADDRESS("berth-test"), MFD_CLOEXEC}, true},
    {"descriptor flags", __NR_fcntl, {STDERR_FILENO, F_GETFD}, true},
    {"bytes that wait in a pipe", __NR_ioctl, {PIPE_FD, FIONREAD, ADDRESS(ends)}, true},
    {"asks for its filter", __NR_prctl, {PR_GET_SECCOMP}, true},
    {"executable memory",
     __NR_mmap,
     {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1},
     false},
    {"memory made executable", __NR_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, false},
    {"execve", __NR_execve, {ADDRESS("/bin/true"), ADDRESS(no_words), ADDRESS(no_words)}, false},
    {"openat", __NR_openat, {AT_FDCWD, ADDRESS("/etc/passwd"), O_RDONLY}, false},
#ifdef __NR_open
    {"open", __NR_open, {ADDRESS("/etc/passwd"), O_RDONLY}, false},
    {"fork", __NR_fork, {0}, false},
#endif
    {"clone", __NR_clone, {SIGCHLD}, false},
    {"internet socket", __NR_socket, {AF_INET, SOCK_STREAM}, false},
    {"local socket", __NR_socket, {AF_UNIX, SOCK_STREAM}, false},
    {"pair for messages",
     __NR_socketpair,
     {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ADDRESS(ends)},
     true},
    {"pair that blocks", __NR_socketpair, {AF_UNIX, SOCK_SEQPACKET, 0, ADDRESS(ends)}, false},
    {"pair for a stream",
     __NR_socketpair,
     {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ADDRESS(ends)},
     false},
    {"pair for datagrams",
     __NR_socketpair,
     {AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ADDRESS(ends)},
     false},
    {"pair for messages of another family",
     __NR_socketpair,
     {AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ADDRESS(ends)},
     false},
    {"pair of another family", __NR_socketpair, {AF_INET, SOCK_STREAM}, false},
    {"connect", __NR_connect, {0}, false},
    {"bind", __NR_bind, {0}, false},
    {"listen", __NR_listen, {0}, false},
    {"accept4", __NR_accept4, {0}, false},
    {"ptrace", __NR_ptrace, {0}, false},
    {"reads another's memory", __NR_process_vm_readv, {1}, false},
    {"kill of another", __NR_kill, {1, 0}, false},
    {"ioctl", __NR_ioctl, {STDERR_FILENO, 0x5412}, false},
    {"becomes traceable", __NR_prctl, {PR_SET_DUMPABLE, 1}, false},
    {"another filter", __NR_seccomp, {0}, false},
    {"raises a limit", __NR_prlimit64, {0, RLIMIT_CORE}, false},
    {"mount", __NR_mount, {0}, false},
    {"unlinkat", __NR_unlinkat, {AT_FDCWD, ADDRESS("/nonexistent")}, false},
    {"io_uring", __NR_io_uring_setup, {0}, false},
#ifdef __x86_64__
    {"number of the x32 table", 0x40000000 + 39, {0}, false},
#endif
    {"number that does not exist", 100000, {0}, false},
};

/* By system call: the sanitizers make calls at exit that the filter does not allow. */
static _Noreturn void leave(int status)
{
    for (;;) {
        (void)syscall(__NR_exit_group, status);
    }
}

static _Noreturn void run_call(const struct call_row *row)
{
    struct error err = {0};
    const long *words = row->arguments;
    if (pipe(ends) < 0 || dup2(ends[0], PIPE_FD) < 0 || confine_process(&err) < 0) {
        leave(NOT_CONFINED);
    }
    long result = syscall(row->number, words[0], words[1], words[2], words[3], words[4], words[5]);
    leave(result < 0 ? FAILED_CALL : 0);
}

static int end_of_child(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_call(void **state)
{
    const struct call_row *row = *state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_call(row);
    }
    int status = end_of_child(pid);
    if (row->allowed) {
        assert_true(WIFEXITED(status));
        /* This program is larger than the ceiling on memory. */
        assert_int_equal(WEXITSTATUS(status), row->number == __NR_mmap ? FAILED_CALL : 0);
    } else {
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
        assert_false(WCOREDUMP(status));
    }
}

struct ceiling_row {
    const char *name;
    int resource;
    rlim_t most;
};

static const struct ceiling_row ceiling_rows[] = {
    {"memory", RLIMIT_AS, LIMIT_SESSION_MEMORY_BYTES},
    {"descriptors", RLIMIT_NOFILE, LIMIT_SESSION_FILES},
    {"processes", RLIMIT_NPROC, 0},
    {"core", RLIMIT_CORE, 0},
};

static void test_ceiling(void **state)
{
    const struct ceiling_row *row = *state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {0};
        bool lowered = set_ceilings() == 0 && getrlimit(row->resource, &limit) == 0 &&
                       limit.rlim_cur <= row->most && limit.rlim_max <= row->most;
        _exit(lowered ? 0 : 1);
    }
    assert_int_equal(end_of_child(pid), 0);
}

int main(void)
{
    return rows_run(call_rows, test_call) + rows_run(ceiling_rows, test_ceiling);
}
