/* SPDX-License-Identifier: MIT */
#include "driver/base/process_id.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/parse.h"

#define PROC_FILE_CEILING_BYTES (4UL << 20) /* the most that an environment can have */
#define TREE_CEILING            65536
#define TREE_ROUNDS \
    50 /* a limit, since a fork bomb can start children faster than they are found */
#define SWEEP_PAUSE_MS 5

struct process_stat {
    char state;
    pid_t parent;
    uint64_t start_ticks;
};

static int read_proc(pid_t pid, const char *name, struct buffer *out)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fd_read_file(path, out, NULL);
}

/* The second field, the command's name, may contain blanks and brackets: fields are counted after
 * it. */
static int parse_stat(const char *text, struct process_stat *out_stat)
{
    const char *field = strrchr(text, ')');
    if (field == NULL || field[1] != ' ') {
        return -1;
    }
    field += 2;
    out_stat->state = field[0];
    for (int number = 3; number <= 22; number++) {
        if (number == 4) {
            out_stat->parent = (pid_t)strtol(field, NULL, 10);
        }
        if (number == 22) {
            out_stat->start_ticks = strtoull(field, NULL, 10);
            return 0;
        }
        field = strchr(field, ' ');
        if (field == NULL) {
            return -1;
        }
        field++;
    }
    return -1;
}

static int read_stat(pid_t pid, struct process_stat *out_stat)
{
    struct buffer text;
    buffer_init(&text, 4096);
    int result = read_proc(pid, "stat", &text);
    if (result == 0) {
        result = text.bytes == NULL ? -1 : parse_stat(text.bytes, out_stat);
    }
    buffer_done(&text);
    return result;
}

void process_id_boot(char out[PROCESS_ID_BOOT_BYTES])
{
    struct buffer text;
    buffer_init(&text, 128);
    out[0] = '\0';
    if (fd_read_file("/proc/sys/kernel/random/boot_id", &text, NULL) == 0 && text.bytes != NULL) {
        (void)snprintf(out, PROCESS_ID_BOOT_BYTES, "%.*s", (int)strcspn(text.bytes, "\n"),
                       text.bytes);
    }
    buffer_done(&text);
}

int process_id_get(pid_t pid, struct process_id *out_identity, struct error *err)
{
    struct process_stat stat = {0};
    if (read_stat(pid, &stat) < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot read /proc/%d/stat; is /proc mounted?",
                         (int)pid);
    }
    out_identity->pid = pid;
    out_identity->start_ticks = stat.start_ticks;
    process_id_boot(out_identity->boot);
    return 0;
}

bool process_id_runs(const struct process_id *identity)
{
    char boot[PROCESS_ID_BOOT_BYTES];
    struct process_stat stat = {0};
    if (identity->pid <= 0) {
        return false; /* waitpid() would take any child */
    }
    (void)waitpid(identity->pid, NULL, WNOHANG); /* fails unless it is our child */
    process_id_boot(boot);
    return strcmp(boot, identity->boot) == 0 && read_stat(identity->pid, &stat) == 0 &&
           stat.start_ticks == identity->start_ticks && stat.state != 'Z' && stat.state != 'X';
}

bool process_id_is_gone(const struct process_id *identity)
{
    struct process_stat stat = {0};
    if (read_stat(identity->pid, &stat) == 0) {
        return stat.start_ticks != identity->start_ticks || stat.state == 'Z' || stat.state == 'X';
    }
    return kill(identity->pid, 0) < 0 && errno == ESRCH;
}

int process_id_program(pid_t pid, char *out, size_t room)
{
    static const char deleted[] = " (deleted)";
    char path[64];
    char target[PATH_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    if (length <= 0) {
        return -1;
    }
    target[length] = '\0';
    size_t suffix = sizeof(deleted) - 1;
    if ((size_t)length > suffix && strcmp(target + length - suffix, deleted) == 0) {
        target[(size_t)length - suffix] = '\0';
    }
    const char *slash = strrchr(target, '/');
    return (size_t)snprintf(out, room, "%s", slash == NULL ? target : slash + 1) < room ? 0 : -1;
}

pid_t process_id_parent(pid_t pid)
{
    struct process_stat stat = {0};
    return read_stat(pid, &stat) == 0 ? stat.parent : 0;
}

/* A pidfd that is certain to be this process, or -1. */
static int open_pidfd(const struct process_id *identity)
{
    if (identity->pid <= 0) {
        return -1;
    }
    cleanup_fd int fd = (int)syscall(SYS_pidfd_open, identity->pid, 0U);
    return fd >= 0 && process_id_runs(identity) ? steal_fd(&fd) : -1;
}

void process_id_signal(const struct process_id *identity, int number)
{
    cleanup_fd int fd = open_pidfd(identity);
    if (fd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0U);
    }
}

bool process_id_wait(const struct process_id *identity, int64_t deadline_ms)
{
    cleanup_fd int fd = open_pidfd(identity);
    while (fd >= 0 && process_id_runs(identity)) {
        if (clock_now_ms() >= deadline_ms) {
            return false;
        }
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        (void)poll(&entry, 1, clock_poll_timeout(deadline_ms));
    }
    return !process_id_runs(identity);
}

/* Calls 'visit' for every process. */
static void for_each_process(void (*visit)(pid_t pid, void *context), void *context)
{
    cleanup_dir DIR *directory = opendir("/proc");
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        int64_t pid = 0;
        if (isdigit((unsigned char)entry->d_name[0]) &&
            parse_integer(entry->d_name, 1, INT32_MAX, &pid) == 0) {
            visit((pid_t)pid, context);
        }
    }
}

/* A set of pids that grows by the children of its members. */
struct tree {
    struct buffer pids;
    bool grown;
};

static bool tree_has(const struct tree *tree, pid_t pid)
{
    const pid_t *pids = (const pid_t *)(const void *)tree->pids.bytes;
    for (size_t i = 0; i < tree->pids.length / sizeof(pid_t); i++) {
        if (pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static void add_child(pid_t pid, void *context)
{
    struct tree *tree = context;
    struct process_stat stat = {0};
    if (read_stat(pid, &stat) == 0 && stat.state != 'Z' && tree_has(tree, stat.parent) &&
        !tree_has(tree, pid)) {
        tree->grown = buffer_append(&tree->pids, &pid, sizeof(pid)) == 0;
    }
}

/* Kills the descendants of 'root'; returns whether there were any. */
static bool kill_descendants(pid_t root)
{
    struct tree tree = {.grown = true};
    buffer_init(&tree.pids, TREE_CEILING * sizeof(pid_t));
    if (buffer_append(&tree.pids, &root, sizeof(root)) < 0) {
        return false;
    }
    while (tree.grown) {
        tree.grown = false;
        for_each_process(add_child, &tree);
    }
    size_t count = tree.pids.length / sizeof(pid_t);
    const pid_t *pids = (const pid_t *)(const void *)tree.pids.bytes;
    for (size_t i = 1; i < count; i++) {
        (void)kill(pids[i], SIGKILL);
    }
    buffer_done(&tree.pids);
    return count > 1;
}

void process_id_kill_tree(const struct process_id *identity)
{
    process_id_signal(identity, SIGSTOP);
    for (int round = 0; round < TREE_ROUNDS && process_id_runs(identity); round++) {
        if (!kill_descendants(identity->pid)) {
            break;
        }
    }
    process_id_signal(identity, SIGKILL);
}

struct sweep {
    const char *marker;
    int found;
};

static bool environment_has(const struct buffer *environment, const char *marker)
{
    size_t length = strlen(marker);
    const char *next = environment->bytes;
    const char *end = next == NULL ? NULL : next + environment->length;
    while (next != NULL && next < end) {
        size_t entry = strnlen(next, (size_t)(end - next));
        if (entry == length && memcmp(next, marker, length) == 0) {
            return true;
        }
        next += entry + 1;
    }
    return false;
}

static void kill_if_marked(pid_t pid, void *context)
{
    struct sweep *sweep = context;
    struct process_stat stat = {0};
    struct buffer environment;
    buffer_init(&environment, PROC_FILE_CEILING_BYTES);
    if (pid != getpid() && read_proc(pid, "environ", &environment) == 0 &&
        environment_has(&environment, sweep->marker) && read_stat(pid, &stat) == 0 &&
        stat.state != 'Z') {
        sweep->found++;
        (void)kill(pid, SIGKILL);
    }
    buffer_done(&environment);
}

int process_id_kill_marked(const char *marker, int64_t deadline_ms)
{
    for (;;) {
        struct sweep sweep = {.marker = marker};
        for_each_process(kill_if_marked, &sweep);
        if (sweep.found == 0 || clock_now_ms() >= deadline_ms) {
            return sweep.found;
        }
        (void)poll(NULL, 0, SWEEP_PAUSE_MS); /* a killed process takes a moment to exit */
    }
}
