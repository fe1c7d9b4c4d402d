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
/* cppcheck-suppress preprocessorErrorDirective ; it does not know the processor */
#error "confine.c: add the AUDIT_ARCH_ of this processor"
#endif

/* One system call that is allowed, or allowed when (argument & mask) == value in its low half: all
 * the arguments tested here are ints, or flags below 2^32. */
struct rule {
    uint32_t number;
    uint32_t mask; /* 0: whatever the arguments */
    uint32_t value;
    uint8_t argument;
};

#define ANY(name)             \
    {                         \
        .number = __NR_##name \
    }
#define WITH(name, index, word)                          \
    {                                                    \
        __NR_##name, UINT32_MAX, (uint32_t)(word), index \
    }
#define WITHOUT(name, index, bits)              \
    {                                           \
        __NR_##name, (uint32_t)(bits), 0, index \
    }

/* Busiest first: older kernels walk the list at each call. A number that is not here, of another
 * architecture's table included (x32 has a bit of its own in the number), kills. */
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
    WITH(socketpair, 0, AF_UNIX),
    WITH(fcntl, 1, F_GETFL),
    WITH(fcntl, 1, F_SETFL),
    WITH(fcntl, 1, F_GETFD),
    WITH(fcntl, 1, F_SETFD),
    WITH(fcntl, 1, F_DUPFD_CLOEXEC),
    WITH(ioctl, 1, FIONREAD),
    /* a command on its way to a monitor: a memory file */
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
    /* time, chance, who am I; the C library and OpenSSL ask */
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
    /* what check() asks */
    WITH(prctl, 0, PR_GET_NO_NEW_PRIVS),
    WITH(prctl, 0, PR_GET_SECCOMP),
    WITH(prctl, 0, PR_GET_DUMPABLE),
    ANY(exit),
    ANY(exit_group),
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

/* Two instructions open the program and two load the number, at most six are needed for a rule,
 * one ends it. */
#define FILTER_INSTRUCTIONS (4 + 6 * RULES + 1)

static size_t add_rule(struct sock_filter *out, const struct rule *rule)
{
    const uint32_t number_at = offsetof(struct seccomp_data, nr);
    const uint32_t argument_at =
        (uint32_t)offsetof(struct seccomp_data, args) + 8U * rule->argument; /* little-endian */
    const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    size_t used = 0;
    if (rule->mask == 0) {
        out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->number, 0, 1);
        out[used++] = allow;
        return used;
    }
    out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->number, 0, 5);
    out[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_at);
    out[used++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->mask);
    out[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1);
    out[used++] = allow;
    /* Another row may allow the same call with another argument. */
    out[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number_at);
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

/* No ceiling on file sizes: it would cut the log when that goes to a file, and the filter leaves
 * no other file to write. */
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
        /* Never above what was inherited. */
        limit.rlim_max = limit.rlim_max < rows[i].ceiling ? limit.rlim_max : rows[i].ceiling;
        limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
        if (setrlimit(rows[i].resource, &limit) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Root's identity stays, since changing it would lose the signal that tells us of init's death; but
 * it is a name without power from here on. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return (int)syscall(__NR_capset, &header, none);
}

static int check(struct error *err)
{
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0) {
        return error_set(err, ERROR_SYSTEM, 0, "the kernel did not keep the confinement");
    }
    if (CONFINE_FILTERS && prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER) {
        return error_set(err, ERROR_SYSTEM, 0, "the kernel did not keep the seccomp filter");
    }
    return 0;
}

int confine_process(struct error *err)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot become undumpable");
    }
    if (set_ceilings() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot set resource limits");
    }
    if (drop_capabilities() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot drop capabilities");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot give up new privileges");
    }
    if (CONFINE_FILTERS && install_filter() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot install the seccomp filter");
    }
    return check(err);
}
