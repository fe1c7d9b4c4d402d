/* SPDX-License-Identifier: MIT */
#include "agent/commands/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/child/links.h"
#include "agent/child/shell.h"
#include "common/cleanup.h"
#include "common/fd.h"

#define PLACED_AGENT   "berth-agent"
#define PLACED_BUSYBOX "busybox"
/* Every helper image of GitLab has it; an agent with --helper looks elsewhere without it. */
#define HELPER_TARGET "/usr/bin/gitlab-runner-helper"

static const char elf_magic[] = {0x7f, 'E', 'L', 'F'};

/* Opens the program by argv[0], as a shell finds it: with a slash it is a path. */
static int open_by_name(const char *program)
{
    char path[SHELL_PATH_BYTES];
    if (strchr(program, '/') != NULL) {
        return open(program, O_RDONLY | O_CLOEXEC);
    }
    const char *search = getenv("PATH");
    if (search == NULL || !shell_find_in(search, program, path)) {
        errno = ENOENT;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* This program's file, at its start. */
static int open_self(const char *program, struct error *err)
{
    char magic[sizeof(elf_magic)];
    cleanup_fd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fd = open_by_name(program);
    }
    if (fd < 0) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot open this program, '%s'", program);
        return error_hint(err, "start it by its absolute path");
    }
    if (pread(fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) ||
        memcmp(magic, elf_magic, sizeof(magic)) != 0) {
        return error_set(err, ERROR_SYSTEM, 0, "'%s' is not this program", program);
    }
    return steal_fd(&fd);
}

/* Every user must be able to enter it. */
static int open_directory(const char *path, struct error *err)
{
    struct stat status;
    if (fd_make_directories(path, 0755, err) < 0) {
        return -1;
    }
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open directory '%s'", path);
    }
    if ((status.st_mode & 0555) != 0555 && fchmod(fd, (status.st_mode & 07777) | 0555) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open '%s' to other users", path);
    }
    return steal_fd(&fd);
}

static int put(int directory_fd, const char *directory, const char *name, int source_fd,
               struct error *err)
{
    if (fd_replace_from(directory_fd, name, source_fd, 0755) < 0) {
        int reason = errno;
        (void)error_set(err, ERROR_SYSTEM, reason, "cannot write '%s/%s'", directory, name);
        return reason == EROFS ? error_hint(err, "mount the volume writable in this container")
                               : -1;
    }
    return 0;
}

/* Without a busybox beside this program there is nothing to do. */
static int place_busybox(const char *program, int directory_fd, const char *directory,
                         struct error *err)
{
    char beside[PATH_MAX];
    char path[PATH_MAX + sizeof("/" PLACED_BUSYBOX)];
    if (links_program_directory(program, beside, sizeof(beside)) < 0) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%s/" PLACED_BUSYBOX, beside);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot open '%s'", path);
    }
    int length = snprintf(path, sizeof(path), "%s/" PLACED_BUSYBOX, directory);
    if (length >= (int)sizeof(path)) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "cannot use '%s'", directory);
    }
    if (put(directory_fd, directory, PLACED_BUSYBOX, fd, err) < 0) {
        return -1;
    }
    return links_make_applets(directory_fd, path, "../" PLACED_BUSYBOX, err);
}

static int open_builds(const char *builds, struct error *err)
{
    struct stat status;
    if (fd_make_directories(builds, 0755, err) < 0) {
        return -1;
    }
    cleanup_fd int fd = open(builds, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 ||
        ((status.st_mode & 07777) != 01777 && fchmod(fd, 01777) < 0)) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open '%s' to all users", builds);
    }
    return 0;
}

int place(const char *program, const char *directory, const char *builds, struct error *err)
{
    (void)umask(022);
    cleanup_fd int self = open_self(program, err);
    if (self < 0) {
        return -1;
    }
    cleanup_fd int directory_fd = open_directory(directory, err);
    if (directory_fd < 0 || put(directory_fd, directory, PLACED_AGENT, self, err) < 0 ||
        place_busybox(program, directory_fd, directory, err) < 0) {
        return -1;
    }
    if (links_make_helper(directory_fd, HELPER_TARGET, err) < 0) {
        return -1;
    }
    return builds == NULL ? 0 : open_builds(builds, err);
}
