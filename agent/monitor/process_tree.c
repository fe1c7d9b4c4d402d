/* SPDX-License-Identifier: MIT */
#include "agent/monitor/process_tree.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/parse.h"

/* No process has this parent. (0 is the parent of PID 1.) */
#define NO_ANCESTOR ((pid_t)-1)

/* Each pass finds the processes that were forked during the previous one. */
#define KILL_PASSES 100

struct process {
    pid_t pid;
    pid_t parent;
    pid_t session;
    bool reached;
};

struct process_list {
    struct process *entries;
    size_t count;
    size_t allocated;
};

/* The second field is a name in parentheses, which may itself contain ')'. */
bool tree_read_stat(const char *stat, pid_t *out_parent, pid_t *out_session)
{
    const char *end = strrchr(stat, ')');
    if (end == NULL || end[1] != ' ' || end[2] == '\0' || end[3] != ' ' || end[2] == 'Z') {
        return false;
    }
    char *next = NULL;
    *out_parent = (pid_t)strtol(end + 4, &next, 10);
    (void)strtol(next, &next, 10); /* the process group */
    *out_session = (pid_t)strtol(next, NULL, 10);
    return true;
}

/* False when the process has exited. */
static bool read_process(int proc, const char *name, struct process *out)
{
    char path[32];
    char stat[512];
    (void)snprintf(path, sizeof(path), "%s/stat", name);
    cleanup_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
    if (got <= 0) {
        return false;
    }
    stat[got] = '\0';
    return tree_read_stat(stat, &out->parent, &out->session);
}

static bool add(struct process_list *list, const struct process *process)
{
    if (list->count == list->allocated) {
        size_t size = list->allocated == 0 ? 256 : list->allocated * 2;
        struct process *grown = realloc(list->entries, size * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        list->entries = grown;
        list->allocated = size;
    }
    list->entries[list->count++] = *process;
    return true;
}

static void read_processes(struct process_list *list)
{
    cleanup_dir DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        int64_t pid = 0;
        if (parse_integer(entry->d_name, 1, INT32_MAX, &pid) < 0 || strlen(entry->d_name) > 10) {
            continue;
        }
        struct process process = {.pid = (pid_t)pid};
        if (read_process(dirfd(proc), entry->d_name, &process) && !add(list, &process)) {
            return;
        }
    }
}

static bool is_reached(const struct process_list *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].pid == pid) {
            return list->entries[i].reached;
        }
    }
    return false;
}

/* Marks the children of marked processes. Returns whether there were any. */
static bool reach_children(struct process_list *list, pid_t ancestor)
{
    bool grew = false;
    for (size_t i = 0; i < list->count; i++) {
        struct process *process = &list->entries[i];
        if (!process->reached &&
            (process->parent == ancestor || is_reached(list, process->parent))) {
            process->reached = true;
            grew = true;
        }
    }
    return grew;
}

static int kill_orphans_once(pid_t ancestor, pid_t leader)
{
    struct process_list list = {0};
    int sent = 0;
    if (ancestor <= 0 || leader <= 0) {
        return 0;
    }
    read_processes(&list);
    for (size_t i = 0; i < list.count; i++) {
        struct process *process = &list.entries[i];
        process->reached = process->parent == ancestor && process->session == leader;
    }
    while (reach_children(&list, NO_ANCESTOR)) {
    }
    for (size_t i = 0; i < list.count; i++) {
        pid_t pid = list.entries[i].pid;
        if (list.entries[i].reached && pid != 1 && pid != ancestor && kill(pid, SIGKILL) == 0) {
            sent++;
        }
    }
    free(list.entries);
    return sent;
}

void tree_kill_orphans(pid_t ancestor, pid_t leader)
{
    for (int pass = 0; pass < KILL_PASSES && kill_orphans_once(ancestor, leader) > 0; pass++) {
    }
}

int tree_signal(pid_t ancestor, int signal_number)
{
    struct process_list list = {0};
    int sent = 0;
    read_processes(&list);
    while (reach_children(&list, ancestor)) {
    }
    for (size_t i = 0; i < list.count; i++) {
        if (list.entries[i].reached && kill(list.entries[i].pid, signal_number) == 0) {
            sent++;
        }
    }
    free(list.entries);
    return sent;
}
