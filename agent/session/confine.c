/* SPDX-License-Identifier: MIT */
#include "agent/session/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/limits.h"

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
/* cppcheck-suppress preprocessorErrorDirective ; it does not define the processor */
#error "confine.c: add the AUDIT_ARCH_ of this processor"
#endif

/* A permitted system call. Each test requires (argument & mask) == value, in the low 32 bits: all
 * tested arguments are ints, or flags below 2^32. */
#define TESTS 2
struct rule {
    uint32_t number;
    struct {
        uint32_t mask; /* 0: no test, and none after it */
        uint32_t value;
        uint8_t argument;
    } tests[TESTS];
};

#define ANY(name)             \
    {                         \
        .number = __NR_##name \
    }
#define WITH(name, index, word)                     \
    {                                               \
        __NR_##name,                                \
        {                                           \
            {                                       \
                UINT32_MAX, (uint32_t)(word), index \
            }                                       \
        }                                           \
    }
#define WITH_BOTH(name, index, word, index_2, word_2)   \
    {                                                   \
        __NR_##name,                                    \
        {                                               \
            {UINT32_MAX, (uint32_t)(word), index},      \
            {                                           \
                UINT32_MAX, (uint32_t)(word_2), index_2 \
            }                                           \
        }                                               \
    }
#define WITHOUT(name, index, bits)         \
    {                                      \
        __NR_##name,                       \
        {                                  \
            {                              \
                (uint32_t)(bits), 0, index \
            }                              \
        }                                  \
    }

/* Frequent calls first: older kernels search the list at each call. Any other number kills the
 * process, also one of another architecture's table (x32 sets a bit in the number). */
static const struct rule rules[] = {
    /* bytes: the connection, pipes of jobs, sockets to init and monitors, the log */
    ANY(read),
    ANY(write),
#ifdef __NR_poll
    ANY(poll),
#endif
    ANY(ppoll),
    ANY(sendto),
    ANY(recvfrom),
    ANY(sendmsg),
    ANY(recvmsg),
    ANY(readv),
    ANY(writev),
    ANY(close),
    ANY(shutdown),
    ANY(setsockopt),
    ANY(getsockopt),
    ANY(getsockname),
    ANY(getpeername),
    /* of wire_pair() only: a stream socket could pass partial messages to a job's monitor */
    WITH_BOTH(socketpair, 0, AF_UNIX, 1, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK),
    WITH(fcntl, 1, F_GETFL),
    WITH(fcntl, 1, F_SETFL),
    WITH(fcntl, 1, F_GETFD),
    WITH(fcntl, 1, F_SETFD),
    WITH(fcntl, 1, F_DUPFD_CLOEXEC),
    WITH(ioctl, 1, FIONREAD),
    /* memory files, for requests to monitors */
    ANY(memfd_create),
    ANY(ftruncate),
    ANY(lseek),
    ANY(pread64),
    ANY(pwrite64),
    ANY(fstat),
    WITH(fcntl, 1, F_ADD_SEALS),
    WITH(fcntl, 1, F_GET_SEALS),
    /* memory, never executable */
    ANY(brk),
    WITHOUT(mmap, 2, PROT_EXEC),
    WITHOUT(mprotect, 2, PROT_EXEC),
    ANY(munmap),
    ANY(mremap),
    ANY(madvise),
    /* time, random numbers and identity, for the C library and OpenSSL */
    ANY(clock_gettime),
    ANY(gettimeofday),
    ANY(getrandom),
    ANY(getpid),
    ANY(getppid),
    ANY(gettid),
    ANY(getuid),
    ANY(geteuid),
    ANY(futex),
    ANY(sched_yield),
    ANY(restart_syscall),
    ANY(rt_sigprocmask),
    ANY(rt_sigaction),
    ANY(rt_sigreturn),
    /* for check() */
    WITH(prctl, 0, PR_GET_NO_NEW_PRIVS),
    WITH(prctl, 0, PR_GET_SECCOMP),
    WITH(prctl, 0, PR_GET_DUMPABLE),
    ANY(exit),
    ANY(exit_group),
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

/* Three instructions check the architecture, one loads the number, a rule takes at most three and
 * three for each test, one ends the program. */
#define FILTER_INSTRUCTIONS (4 + (3 + 3 * TESTS) * RULES + 1)

static size_t add_rule(struct sock_filter *out, const struct rule *rule)
{
    const uint32_t number_at = offsetof(struct seccomp_data, nr);
    const uint32_t arguments_at = offsetof(struct seccomp_data, args);
    uint8_t tests = 0;
    while (tests < TESTS && rule->tests[tests].mask != 0) {
        tests++;
    }
    /* Skips the tests, the instruction that allows the call, and the one that reloads the number.
     */
    uint8_t rest = tests == 0 ? 1 : (uint8_t)(3 * tests + 2);
    size_t used = 0;
    out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->number, 0, rest);
    for (uint8_t i = 0; i < tests; i++) {
        uint32_t at = arguments_at + 8U * rule->tests[i].argument; /* little-endian */
        uint8_t failed = (uint8_t)(3 * (tests - i - 1) + 1);       /* to the one that reloads */
        out[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
        out[used++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->tests[i].mask);
        out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->tests[i].value,
                                                   0, failed);
    }
    out[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (tests > 0) { /* another row may allow the same call with other arguments */
        out[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number_at);
    }
    return used;
}

static size_t build_filter(struct sock_filter *out)
{
    size_t used = 0;
    out[used++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0);
    out[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    out[used++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < RULES; i++) {
        used += add_rule(out + used, &rules[i]);
    }
    out[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    return used;
}

static int install_filter(void)
{
    struct sock_filter instructions[FILTER_INSTRUCTIONS];
    struct sock_fprog program = {.filter = instructions};
    program.len = (unsigned short)build_filter(instructions);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* No ceiling on file sizes: it would cut a log that goes to a file, and the filter permits no other
 * file. */
static int set_ceilings(void)
{
    static const struct {
        rlim_t ceiling;
        int resource;
        bool filtered_only;
    } rows[] = {
        {LIMIT_SESSION_MEMORY_BYTES, RLIMIT_AS, true},
        {LIMIT_SESSION_FILES, RLIMIT_NOFILE, false},
        {0, RLIMIT_NPROC, false},
        {0, RLIMIT_CORE, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rlimit limit;
        if (rows[i].filtered_only && !CONFINE_FILTERS) {
            continue;
        }
        if (getrlimit(rows[i].resource, &limit) < 0) {
            return -1;
        }
        /* Never above the inherited limit. */
        limit.rlim_max = limit.rlim_max < rows[i].ceiling ? limit.rlim_max : rows[i].ceiling;
        limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
        if (setrlimit(rows[i].resource, &limit) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The process keeps root's user ID, since a change of it would clear the parent-death signal;
 * without capabilities and with the filter it gives no privileges. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return (int)syscall(__NR_capset, &header, none);
}

static int check(struct error *err)
{
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0) {
        return error_set(
            err, ERROR_SYSTEM, 0,
            "confinement failed: no_new_privs or the dumpable flag did not take effect");
    }
    if (CONFINE_FILTERS && prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "confinement failed: the seccomp filter did not take effect");
    }
    return 0;
}

int confine_process(struct error *err)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot clear the dumpable flag");
    }
    if (set_ceilings() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot set resource limits");
    }
    if (drop_capabilities() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot drop capabilities");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot set no_new_privs");
    }
    if (CONFINE_FILTERS && install_filter() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot install the seccomp filter");
    }
    return check(err);
}
