/* SPDX-License-Identifier: MIT */
#include "agent/commands/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/escape.h"
#include "common/parse.h"

#define PASSES 2

/* The highest ID: -1 means "unchanged" to chown(2). */
#define ID_CEILING 4294967294LL

/* A directory on the way from the top to the current one. Its descriptor is closed while the walk
 * is below it: a descriptor for each level would limit the depth. */
struct level {
    dev_t device;
    ino_t inode;
    size_t names; /* where its names begin in walk.names */
};

struct walk {
    uid_t uid;
    gid_t gid;
    dev_t device; /* of the top */
    struct level *levels;
    size_t depth, room;  /* levels in use, and allocated */
    struct buffer names; /* of directories to enter, each with its NUL; the last one is next */
    unsigned long long failures;
    bool reports; /* failures are printed */
};

static void fail(struct walk *walk, const char *what, const char *name)
{
    int reason = errno;
    if (reason == ENOENT) {
        return; /* it vanished */
    }
    walk->failures++;
    if (walk->reports && walk->failures <= LIMIT_OWN_REPORTS) {
        escape_print(stderr, "berth-agent: own: cannot %s '%s': %s\n", what, name,
                     strerror(reason));
    }
}

/* statx(), also where an old seccomp filter or kernel does not know it. */
static int get_status(int fd, const char *name, int flags, struct statx *out)
{
    struct stat status;
    memset(out, 0, sizeof(*out));
    if (statx(fd, name, flags, STATX_TYPE | STATX_UID | STATX_GID, out) == 0) {
        return 0;
    }
    if ((errno != ENOSYS && errno != EPERM) || fstatat(fd, name, &status, flags) < 0) {
        return -1;
    }
    memset(out, 0, sizeof(*out));
    out->stx_mode = (uint16_t)status.st_mode;
    out->stx_uid = status.st_uid;
    out->stx_gid = status.st_gid;
    out->stx_dev_major = major(status.st_dev);
    out->stx_dev_minor = minor(status.st_dev);
    return 0;
}

/* Looks at an entry, or at an open file with the name "". False: it vanished, is on another file
 * system, or failed. Newer kernels distinguish mounts that have the same device; overlayfs gives
 * files and directories different devices. */
static bool look_at(struct walk *walk, int fd, const char *name, struct statx *out)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == '\0' ? AT_EMPTY_PATH : 0);
    if (get_status(fd, name, flags, out) < 0) {
        fail(walk, "look at", name);
        return false;
    }
    if ((out->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
        return (out->stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0;
    }
    return makedev(out->stx_dev_major, out->stx_dev_minor) == walk->device;
}

/* Changes one entry that is not a directory, or remembers a directory for later. */
static int visit(struct walk *walk, int directory, const char *name)
{
    struct statx found;
    if (!look_at(walk, directory, name, &found)) {
        return 0;
    }
    if (S_ISDIR(found.stx_mode)) {
        if (buffer_append(&walk->names, name, strlen(name) + 1) < 0) {
            errno = ENOMEM;
            return -1;
        }
        return 0;
    }
    bool owned = found.stx_uid == walk->uid && found.stx_gid == walk->gid;
    if (!owned && fchownat(directory, name, walk->uid, walk->gid, AT_SYMLINK_NOFOLLOW) < 0) {
        fail(walk, "change the owner of", name);
    }
    return 0;
}

static int push_level(struct walk *walk, const struct stat *status)
{
    if (walk->depth == walk->room) {
        size_t room = walk->room == 0 ? 64 : walk->room * 2;
        if (room * sizeof(*walk->levels) > LIMIT_OWN_BYTES) {
            errno = ENOMEM;
            return -1;
        }
        struct level *levels = realloc(walk->levels, room * sizeof(*levels));
        if (levels == NULL) {
            return -1;
        }
        walk->levels = levels;
        walk->room = room;
    }
    walk->levels[walk->depth++] = (struct level){
        .device = status->st_dev, .inode = status->st_ino, .names = walk->names.length};
    return 0;
}

/* Changes an open directory and what it holds, and remembers its directories. Returns -1 if it has
 * too many of them. */
static int enter(struct walk *walk, int fd, const char *name)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || push_level(walk, &status) < 0) {
        return -1;
    }
    bool owned = status.st_uid == walk->uid && status.st_gid == walk->gid;
    if (!owned && fchown(fd, walk->uid, walk->gid) < 0) {
        fail(walk, "change the owner of", name);
    }
    /* With its own position, and closed together with the stream. */
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL) {
        fail(walk, "read", name);
        (void)(copy < 0 ? 0 : close(copy));
        return 0;
    }
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(directory)) != NULL; errno = 0) {
        bool self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!self && visit(walk, fd, entry->d_name) < 0) {
            return -1;
        }
    }
    if (errno != 0) {
        fail(walk, "read", name);
    }
    return 0;
}

static bool is_level(int fd, const struct level *level)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == level->device &&
           status.st_ino == level->inode;
}

/* Leaves the current directory for its parent, the new last level. -1: the parent is another one
 * now, since a process has moved the directory. */
static int go_up(struct walk *walk, int *fd)
{
    walk->depth--;
    cleanup_fd int parent = openat(*fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!is_level(parent, &walk->levels[walk->depth - 1])) {
        errno = ESTALE;
        return -1;
    }
    (void)close(*fd);
    *fd = steal_fd(&parent);
    return 0;
}

/* Takes the last name of the current level into 'out'; false: none is left. */
static bool take_name(struct walk *walk, char out[NAME_MAX + 1])
{
    struct buffer *names = &walk->names;
    size_t first = walk->levels[walk->depth - 1].names;
    if (names->length == first) {
        return false;
    }
    size_t at = names->length - 1;
    while (at > first && names->bytes[at - 1] != '\0') {
        at--;
    }
    (void)snprintf(out, NAME_MAX + 1, "%s", names->bytes + at);
    names->bytes[at] = '\0';
    names->length = at;
    return true;
}

/* Enters the directory 'name' of *fd, which is then the current one. It may have been replaced
 * since it was seen: by a link, a mount or a file, which are left alone. -1: see enter(). */
static int go_down(struct walk *walk, int *fd, const char *name)
{
    struct statx found;
    cleanup_fd int child =
        openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (child < 0) {
        fail(walk, "open", name);
        return 0;
    }
    if (!look_at(walk, child, "", &found)) {
        return 0;
    }
    (void)close(*fd);
    *fd = steal_fd(&child);
    return enter(walk, *fd, name);
}

/* One pass over the tree below *fd, whose descriptor moves through it. */
static int walk_tree(struct walk *walk, int *fd, const char *top)
{
    char name[NAME_MAX + 1];
    walk->depth = 0;
    walk->failures = 0;
    walk->names.length = 0;
    if (enter(walk, *fd, top) < 0) {
        return -1;
    }
    for (;;) {
        if (take_name(walk, name)) {
            if (go_down(walk, fd, name) < 0) {
                return -1;
            }
        } else if (walk->depth == 1) {
            return 0;
        } else if (go_up(walk, fd) < 0) {
            return -1;
        }
    }
}

static int open_top(const char *directory, struct walk *walk, struct error *err)
{
    struct stat status, root;
    cleanup_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || stat("/", &root) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "own: cannot open directory '%s'", directory);
    }
    if (status.st_dev == root.st_dev && status.st_ino == root.st_ino) {
        return error_set(err, ERROR_USAGE, 0, "own: refusing to change the root directory");
    }
    walk->device = status.st_dev;
    return steal_fd(&fd);
}

static int parse_owner(const char *text, struct walk *walk, struct error *err)
{
    char uid[16];
    int64_t number[2] = {0};
    size_t length = strcspn(text, ":");
    if (text[length] != ':' || length >= sizeof(uid)) {
        return error_set(err, ERROR_USAGE, 0, "own: '%s' is not UID:GID, such as 1000:1000", text);
    }
    memcpy(uid, text, length);
    uid[length] = '\0';
    if (parse_integer(uid, 0, ID_CEILING, &number[0]) < 0 ||
        parse_integer(text + length + 1, 0, ID_CEILING, &number[1]) < 0) {
        return error_set(err, ERROR_USAGE, 0, "own: '%s' is not UID:GID, such as 1000:1000", text);
    }
    walk->uid = (uid_t)number[0];
    walk->gid = (gid_t)number[1];
    return 0;
}

int own(const char *owner, const char *directory, struct error *err)
{
    struct walk walk = {0};
    if (parse_owner(owner, &walk, err) < 0) {
        return -1;
    }
    buffer_init(&walk.names, LIMIT_OWN_BYTES);
    int result = 0;
    int reason = 0;
    /* The second pass finds what was moved, or failed for a moment. */
    for (int pass = 1; pass <= PASSES && (pass == 1 || result < 0 || walk.failures > 0); pass++) {
        walk.reports = pass == PASSES;
        cleanup_fd int fd = open_top(directory, &walk, err);
        if (fd < 0) {
            result = 0;
            walk.failures = 0;
            reason = -1;
            break;
        }
        result = walk_tree(&walk, &fd, directory);
        reason = result < 0 ? errno : 0;
    }
    buffer_done(&walk.names);
    free(walk.levels);
    if (reason < 0) {
        return -1;
    }
    if (result < 0) {
        return error_set(err, ERROR_SYSTEM, reason, "own: cannot walk through '%s'", directory);
    }
    return walk.failures == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, 0,
                           "own: the owner of %llu files in '%s' could not be changed",
                           walk.failures, directory);
}
