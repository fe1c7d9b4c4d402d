/* SPDX-License-Identifier: MIT */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/clock.h"

/* Nesting that one pass of rm -rf follows: each level holds a descriptor. */
#define FD_TREE_DEPTH 200

int fd_open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The lowest number that is free is this one. Not close-on-exec: children have them too. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd) {
            return -1;
        }
    }
    return 0;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return -1;
    }
    int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags ? 0 : fcntl(fd, F_SETFL, wanted);
}

int fd_close_range(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) {
        return 0;
    }
    if (errno != ENOSYS && errno != EPERM) { /* EPERM: seccomp filters older than the call */
        return -1;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return -1;
    }
    for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; fd++) {
        (void)close((int)fd); /* most are not open */
    }
    return 0;
}

/* Waits until the descriptor takes bytes. Returns -1 with errno. */
static int wait_writable(int fd, int64_t deadline_ms)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    int ready = poll(&entry, 1, clock_poll_timeout(deadline_ms));
    if (ready == 0) {
        errno = ETIMEDOUT;
        return -1;
    }
    return ready < 0 && errno != EINTR ? -1 : 0;
}

int fd_write_all(int fd, const void *bytes, size_t length, int64_t deadline_ms)
{
    const char *next = bytes;
    while (length > 0) {
        ssize_t written = write(fd, next, length);
        if (written >= 0) {
            next += written;
            length -= (size_t)written;
        } else if (errno == EAGAIN) {
            if (wait_writable(fd, deadline_ms) < 0) {
                return -1;
            }
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

static int read_to_end(int fd, const char *path, struct buffer *out, struct error *err)
{
    char chunk[16384];
    ssize_t got;
    int result = 0;
    while (result == 0 && (got = read(fd, chunk, sizeof(chunk))) != 0) {
        if (got > 0 && buffer_append(out, chunk, (size_t)got) < 0) {
            result = error_set(err, ERROR_LIMIT, 0, "'%s' is larger than %zu bytes", path,
                               out->ceiling_bytes);
        } else if (got < 0 && errno != EINTR) {
            result = error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", path);
        }
    }
    explicit_bzero(chunk, sizeof(chunk));
    return result;
}

int fd_read_file(const char *path, struct buffer *out, struct error *err)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open '%s'", path);
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not a regular file", path);
    }
    return read_to_end(fd, path, out, err);
}

/* The directory part of 'path' into 'out', "." when there is none. */
static int directory_of(const char *path, char *out, size_t room)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= room) {
        return -1;
    }
    memcpy(out, slash == NULL ? "." : path, slash == NULL ? 1 : length);
    out[slash == NULL ? 1 : length] = '\0';
    return 0;
}

static int write_and_rename(int fd, const char *temporary, const char *path, const void *bytes,
                            size_t length, mode_t mode)
{
    if (fchmod(fd, mode) < 0 || fd_write_all(fd, bytes, length, CLOCK_NEVER) < 0 || fsync(fd) < 0 ||
        rename(temporary, path) < 0) {
        int saved = errno;
        (void)unlink(temporary);
        errno = saved;
        return -1;
    }
    return 0;
}

int fd_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                    struct error *err)
{
    char directory[4096];
    char temporary[4096 + 16];
    int printed = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (directory_of(path, directory, sizeof(directory)) < 0 || printed < 0 ||
        (size_t)printed >= sizeof(temporary)) {
        return error_set(err, ERROR_LIMIT, ENAMETOOLONG, "cannot write '%s'", path);
    }
    cleanup_fd int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0 || write_and_rename(fd, temporary, path, bytes, length, mode) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write '%s'", path);
    }
    cleanup_fd int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd >= 0) {
        (void)fsync(directory_fd); /* some file systems refuse it for directories */
    }
    return 0;
}

int fd_make_directories(const char *path, mode_t mode, struct error *err)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part)) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "cannot make directory '%s'", path);
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot make directory '%s'", part);
        }
        part[i] = path[i];
    }
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        return error_set(err, ERROR_SYSTEM, ENOTDIR, "cannot make directory '%s'", path);
    }
    return 0;
}

/* rm -rf of one tree. What is nested too deeply is moved to its top, where the next pass finds it.
 */
struct removal {
    int top;        /* the tree's own directory */
    unsigned moved; /* makes names there that no other pass has used */
};

static int remove_entry(struct removal *removal, int parent, const char *name, int depth);

/* What cannot be removed keeps nothing else from it; errno says why the first could not. */
static int remove_children(struct removal *removal, DIR *directory, int depth)
{
    int reason = 0;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (remove_entry(removal, dirfd(directory), entry->d_name, depth + 1) < 0 && reason == 0) {
            reason = errno;
        }
    }
    errno = reason;
    return reason == 0 ? 0 : -1;
}

static int move_to_top(struct removal *removal, int parent, const char *name)
{
    char there[32];
    (void)snprintf(there, sizeof(there), ".removed-%u", removal->moved);
    if (renameat(parent, name, removal->top, there) < 0) {
        return -1;
    }
    removal->moved++;
    return 0;
}

static int remove_directory(struct removal *removal, int parent, const char *name, int depth)
{
    cleanup_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0) {
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0) {
        return -1;
    }
    (void)fchmod(fd, 0700); /* not ours to change: removing will say so */
    if (depth > FD_TREE_DEPTH) {
        return move_to_top(removal, parent, name);
    }
    removal->top = depth == 0 ? fd : removal->top;
    cleanup_dir DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        return -1;
    }
    (void)steal_fd(&fd);
    if (remove_children(removal, directory, depth) < 0) {
        return -1;
    }
    return unlinkat(parent, name, AT_REMOVEDIR);
}

static int remove_entry(struct removal *removal, int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -1;
    }
    return remove_directory(removal, parent, name, depth);
}

int fd_remove_tree(const char *path, struct error *err)
{
    struct removal removal = {.top = -1};
    unsigned moved_before;
    int result;
    do {
        moved_before = removal.moved;
        result = remove_entry(&removal, AT_FDCWD, path, 0);
    } while (result < 0 && removal.moved != moved_before);
    return result == 0 ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot remove '%s'", path);
}
