/* SPDX-License-Identifier: MIT */
#include "agent/monitor/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

/* No limit in version 1 is the largest multiple of a page size below 2^63. */
#define NO_LIMIT (INT64_MAX - 65536)

/* Enough for mountinfo with many mounts; the rest of a longer file is ignored. */
#define PROC_FILE_BYTES 65536
#define VALUE_BYTES     8192

/* Copies the line at 'text' without its newline; returns the next line, NULL after the last. */
static const char *next_line(const char *text, char *line, size_t room)
{
    size_t length = strcspn(text, "\n");
    (void)snprintf(line, room, "%.*s", (int)(length < room ? length : room - 1), text);
    return text[length] == '\0' || text[length + 1] == '\0' ? NULL : text + length + 1;
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

/* Lines are "ID:CONTROLLERS:PATH", version 2 is "0::PATH". A memory controller of version 1 takes
 * precedence, since version 2 then has none. */
static int find_membership(const char *membership, char *out_path, size_t room)
{
    int version = 0;
    char line[CGROUP_PATH_BYTES];
    for (const char *next = membership; next != NULL && *next != '\0' && version != 1;) {
        next = next_line(next, line, sizeof(line));
        char *path = line;
        const char *id = strsep(&path, ":");
        const char *controllers = path == NULL ? NULL : strsep(&path, ":");
        if (controllers == NULL || path == NULL) {
            continue;
        }
        if (has_word(controllers, "memory")) {
            version = 1;
        } else if (strcmp(id, "0") == 0 && controllers[0] == '\0') {
            version = 2;
        } else {
            continue;
        }
        (void)snprintf(out_path, room, "%s", path);
    }
    return version;
}

/* One line: "ID PARENT DEVICE ROOT MOUNT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS". */
static bool is_mount(char *line, int version, const char **out_root, const char **out_mount)
{
    char *rest = strstr(line, " - ");
    if (rest == NULL) {
        return false;
    }
    *rest = '\0';
    rest += 3;
    const char *type = strsep(&rest, " ");
    (void)strsep(&rest, " ");
    bool wanted = version == 2
                      ? strcmp(type, "cgroup2") == 0
                      : strcmp(type, "cgroup") == 0 && rest != NULL && has_word(rest, "memory");
    for (int i = 0; i < 3; i++) {
        (void)strsep(&line, " ");
    }
    *out_root = strsep(&line, " ");
    *out_mount = strsep(&line, " ");
    return wanted && *out_mount != NULL && (*out_mount)[0] == '/';
}

void cgroup_locate(const char *membership, const char *mountinfo, struct cgroup *out_cgroup)
{
    char path[CGROUP_PATH_BYTES] = "";
    char line[4 * CGROUP_PATH_BYTES];
    int version = find_membership(membership, path, sizeof(path));
    *out_cgroup = (struct cgroup){0};
    for (const char *next = mountinfo; version != 0 && next != NULL && *next != '\0';) {
        const char *root = NULL;
        const char *mount = NULL;
        next = next_line(next, line, sizeof(line));
        if (!is_mount(line, version, &root, &mount)) {
            continue;
        }
        size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
        bool below =
            strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
        /* A path outside the mounted tree: only the container's group, its root, is visible. */
        const char *rest = below && strcmp(path + length, "/") != 0 ? path + length : "";
        int used =
            snprintf(out_cgroup->directory, sizeof(out_cgroup->directory), "%s%s", mount, rest);
        if (used > 0 && (size_t)used < sizeof(out_cgroup->directory)) {
            (void)snprintf(out_cgroup->mount, sizeof(out_cgroup->mount), "%s", mount);
            out_cgroup->version = version;
        }
        return;
    }
}

int64_t cgroup_number(const char *text)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return CGROUP_UNKNOWN;
    }
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool ended = *end == '\0' || *end == '\n' || *end == ' ';
    return errno != 0 || !ended || number >= NO_LIMIT ? CGROUP_UNKNOWN : number;
}

int64_t cgroup_field(const char *text, const char *key)
{
    size_t length = strlen(key);
    while (text != NULL && *text != '\0') {
        if (strncmp(text, key, length) == 0 && text[length] == ' ') {
            return cgroup_number(text + length + 1);
        }
        text = strchr(text, '\n');
        text = text == NULL ? NULL : text + 1;
    }
    return CGROUP_UNKNOWN;
}

/* At most room - 1 bytes, as text; empty if the file cannot be read. */
static void read_text(const char *path, char *out, size_t room)
{
    size_t used = 0;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && used < room - 1) {
        ssize_t got = read(fd, out + used, room - 1 - used);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            break;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    out[used] = '\0';
}

static void read_value(const char *directory, const char *name, char out[VALUE_BYTES])
{
    char path[CGROUP_PATH_BYTES + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    read_text(path, out, VALUE_BYTES);
}

void cgroup_find(struct cgroup *out_cgroup)
{
    char *membership = malloc(PROC_FILE_BYTES);
    char *mountinfo = malloc(PROC_FILE_BYTES);
    *out_cgroup = (struct cgroup){0};
    if (membership != NULL && mountinfo != NULL) {
        read_text("/proc/self/cgroup", membership, PROC_FILE_BYTES);
        read_text("/proc/self/mountinfo", mountinfo, PROC_FILE_BYTES);
        cgroup_locate(membership, mountinfo, out_cgroup);
    }
    free(membership);
    free(mountinfo);
}

static int64_t nearest_limit(const struct cgroup *cgroup)
{
    char value[VALUE_BYTES];
    char directory[CGROUP_PATH_BYTES];
    int64_t nearest = CGROUP_UNKNOWN;
    memcpy(directory, cgroup->directory, sizeof(directory));
    while (strlen(directory) >= strlen(cgroup->mount)) {
        read_value(directory, "memory.max", value);
        int64_t limit = cgroup_number(value);
        if (limit != CGROUP_UNKNOWN && (nearest == CGROUP_UNKNOWN || limit < nearest)) {
            nearest = limit;
        }
        char *slash = strrchr(directory, '/');
        if (slash == NULL || slash == directory) {
            break;
        }
        *slash = '\0';
    }
    return nearest;
}

int64_t cgroup_limit(const struct cgroup *cgroup)
{
    char value[VALUE_BYTES];
    if (cgroup->version != 1) {
        return cgroup->version == 2 ? nearest_limit(cgroup) : CGROUP_UNKNOWN;
    }
    read_value(cgroup->directory, "memory.stat", value);
    return cgroup_field(value, "hierarchical_memory_limit");
}

int64_t cgroup_peak(const struct cgroup *cgroup)
{
    char value[VALUE_BYTES] = "";
    if (cgroup->version != 0) {
        read_value(cgroup->directory,
                   cgroup->version == 1 ? "memory.max_usage_in_bytes" : "memory.peak", value);
    }
    return cgroup_number(value);
}

int64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
    char value[VALUE_BYTES] = "";
    if (cgroup->version != 0) {
        read_value(cgroup->directory, cgroup->version == 1 ? "memory.oom_control" : "memory.events",
                   value);
    }
    return cgroup_field(value, "oom_kill");
}
