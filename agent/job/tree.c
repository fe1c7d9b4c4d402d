/* SPDX-License-Identifier: MIT */
#include "agent/job/tree.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/parse.h"

struct process {
    pid_t pid;
    pid_t parent;
    bool reached;
};

struct process_list {
    struct process *entries;
    size_t count;
    size_t allocated;
};

/* The parent of a process, from the fourth field of its stat file; 0 when it is gone. The second
 * field is a name in parentheses that may hold anything, so the last ')' counts. */
static pid_t parent_of(int proc, const char *name)
{
    char path[32];
    char stat[512];
    (void)snprintf(path, sizeof(path), "%s/stat", name);
    cleanup_fd int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
    if (got <= 0) {
        return 0;
    }
    stat[got] = '\0';
    const char *end = strrchr(stat, ')');
    if (end == NULL || end[1] != ' ' || end[2] == '\0' || end[3] != ' ') {
        return 0;
    }
    return (pid_t)strtol(end + 4, NULL, 10);
}

static bool add(struct process_list *list, pid_t pid, pid_t parent)
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
    list->entries[list->count++] = (struct process){.pid = pid, .parent = parent};
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
        pid_t parent = parent_of(dirfd(proc), entry->d_name);
        if (parent > 0 && !add(list, (pid_t)pid, parent)) {
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

/* Marks one more generation. */
static bool reach_children(struct process_list *list, pid_t ancestor, pid_t spared)
{
    bool grew = false;
    for (size_t i = 0; i < list->count; i++) {
        struct process *process = &list->entries[i];
        if (process->reached || process->pid == spared) {
            continue;
        }
        if (process->parent == ancestor || is_reached(list, process->parent)) {
            process->reached = true;
            grew = true;
        }
    }
    return grew;
}

int tree_signal(pid_t ancestor, pid_t spared, int signal_number)
{
    struct process_list list = {0};
    int sent = 0;
    read_processes(&list);
    while (reach_children(&list, ancestor, spared)) {
    }
    for (size_t i = 0; i < list.count; i++) {
        if (list.entries[i].reached && kill(list.entries[i].pid, signal_number) == 0) {
            sent++;
        }
    }
    free(list.entries);
    return sent;
}
