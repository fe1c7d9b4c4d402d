/* SPDX-License-Identifier: MIT */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/parse.h"

/* The highest descriptor that is tried without close_range(2) and /proc. The limit may be a
 * billion, which would take minutes; open descriptors have low numbers. */
#define FD_NUMBERS_TRIED 65536

/* The depth of one pass of rm -rf: each level uses a descriptor. */
#define FD_TREE_DEPTH   200
#define TEMPORARY_TRIES 100

int fd_open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The lowest free number is this one. Not close-on-exec: children inherit them. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd) {
            return -1;
        }
    }
    return 0;
}

int fd_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return -1;
    }
    return (flags & O_NONBLOCK) != 0 ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_close_range(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) {
        return 0;
    }
    if (errno != ENOSYS && errno != EPERM) { /* EPERM: seccomp filters that do not know the call */
        return -1;
    }
    cleanup_dir DIR *open_ones = opendir("/proc/self/fd");
    struct dirent *entry;
    while (open_ones != NULL && (entry = readdir(open_ones)) != NULL) {
        int64_t fd = -1;
        if (parse_integer(entry->d_name, first, last, &fd) == 0 && fd != dirfd(open_ones)) {
            (void)close((int)fd);
        }
    }
    for (unsigned fd = first; open_ones == NULL && fd <= last && fd < FD_NUMBERS_TRIED; fd++) {
        (void)close((int)fd); /* most are not open */
    }
    return 0;
}

int fd_memory_file(const char *name, unsigned flags, struct error *err)
{
    int fd = memfd_create(name, flags | MFD_CLOEXEC);
    if (fd < 0) {
        bool refused = errno == EPERM || errno == EACCES || errno == ENOSYS;
        return error_set(err, ERROR_SYSTEM, errno, "cannot create a memory file: %s",
                         refused ? "memfd_create is refused; allow it in the container's "
                                   "seccomp profile"
                                 : "memfd_create");
    }
    return fd;
}

/* Waits until the descriptor is writable. Returns -1 with errno. */
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

int fd_read_to_end(int fd, const char *path, struct buffer *out, struct error *err)
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

int fd_read_at(int fd, void *bytes, size_t length, off_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t got = pread(fd, (char *)bytes + done, length - done, offset + (off_t)done);
        if (got == 0) {
            errno = EPROTO;
            return -1;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
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
    return fd_read_to_end(fd, path, out, err);
}

/* Writes the directory part of 'path' to 'out', or ".". */
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

/* Creates a temporary file; its name remains only after a crash. */
static int make_temporary(int directory_fd, const char *name, char *out, size_t room)
{
    for (int tries = 0; tries < TEMPORARY_TRIES; tries++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
            return -1;
        }
        int printed = snprintf(out, room, "%s.%06llx", name, (unsigned long long)random & 0xffffff);
        if (printed < 0 || (size_t)printed >= room) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd =
            openat(directory_fd, out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

/* Gives the complete temporary file its mode and its name. */
static int finish_replacement(int directory_fd, int fd, const char *temporary, const char *name,
                              mode_t mode)
{
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0 ||
        renameat(directory_fd, temporary, directory_fd, name) < 0) {
        return -1;
    }
    (void)fsync(directory_fd); /* not supported by all file systems */
    return 0;
}

static int discard_replacement(int directory_fd, const char *temporary)
{
    int saved = errno;
    (void)unlinkat(directory_fd, temporary, 0);
    errno = saved;
    return -1;
}

int fd_replace_at(int directory_fd, const char *name, const void *bytes, size_t length, mode_t mode)
{
    char temporary[NAME_MAX + 1];
    cleanup_fd int fd = make_temporary(directory_fd, name, temporary, sizeof(temporary));
    if (fd < 0) {
        return -1;
    }
    if (fd_write_all(fd, bytes, length, CLOCK_NEVER) < 0 ||
        finish_replacement(directory_fd, fd, temporary, name, mode) < 0) {
        return discard_replacement(directory_fd, temporary);
    }
    return 0;
}

static int copy_to_end(int from, int to)
{
    char chunk[65536];
    for (;;) {
        ssize_t got = read(from, chunk, sizeof(chunk));
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || fd_write_all(to, chunk, (size_t)got, CLOCK_NEVER) < 0) {
            return -1;
        }
    }
}

int fd_replace_from(int directory_fd, const char *name, int source_fd, mode_t mode)
{
    char temporary[NAME_MAX + 1];
    cleanup_fd int fd = make_temporary(directory_fd, name, temporary, sizeof(temporary));
    if (fd < 0) {
        return -1;
    }
    if (copy_to_end(source_fd, fd) < 0 ||
        finish_replacement(directory_fd, fd, temporary, name, mode) < 0) {
        return discard_replacement(directory_fd, temporary);
    }
    return 0;
}

int fd_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                    struct error *err)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    if (directory_of(path, directory, sizeof(directory)) < 0) {
        return error_set(err, ERROR_LIMIT, ENAMETOOLONG, "cannot write '%s'", path);
    }
    cleanup_fd int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0 ||
        fd_replace_at(directory_fd, slash == NULL ? path : slash + 1, bytes, length, mode) < 0) {
        return error_set(err, errno == ENAMETOOLONG ? ERROR_LIMIT : ERROR_SYSTEM, errno,
                         "cannot write '%s'", path);
    }
    return 0;
}

int fd_make_directories(const char *path, mode_t mode, struct error *err)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part)) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "cannot create directory '%s'", path);
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot create directory '%s'", part);
        }
        part[i] = path[i];
    }
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        return error_set(err, ERROR_SYSTEM, ENOTDIR, "cannot create directory '%s'", path);
    }
    return 0;
}

/* rm -rf of one tree. Directories that are nested too deeply are moved to its top for the next
 * pass.
 */
struct removal {
    int top;        /* the tree's own directory */
    unsigned moved; /* number of moves, for unique names */
};

static int remove_entry(struct removal *removal, int parent, const char *name, int depth);

/* Removes all that can be removed; errno is that of the first failure. */
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
    (void)fchmod(fd, 0700); /* on failure, removing reports the error */
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
