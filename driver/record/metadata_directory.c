/* SPDX-License-Identifier: MIT */
#include "driver/record/metadata_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

#define SUFFIX     ".json"
#define KEY        "[TaskMetadata] Directory"
#define USER_BYTES 64

/* "'name'", or "with number 1234" for a user without a name. */
static void name_user(uid_t user, char out[USER_BYTES])
{
    const struct passwd *entry = getpwuid(user);
    (void)snprintf(out, USER_BYTES, entry != NULL ? "'%.48s'" : "with number %.0s%u",
                   entry != NULL ? entry->pw_name : "", (unsigned)user);
}

int metadata_directory_check(const char *key, const char *directory, const struct stat *status,
                             struct error *err)
{
    char owner[USER_BYTES];
    char self[USER_BYTES];
    if (status->st_uid != geteuid()) {
        name_user(status->st_uid, owner);
        name_user(geteuid(), self);
        (void)error_set(err, ERROR_USAGE, 0,
                        "%s '%s' belongs to the user %s, and this process runs as the user %s", key,
                        directory, owner, self);
        return error_hint(err, "run it as the user %s, or set another directory", owner);
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) == 0) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "%s '%s' is writable by %s (mode %04o), so jobs in it could be forged", key,
                    directory, (status->st_mode & S_IWOTH) != 0 ? "all users" : "its group",
                    (unsigned)status->st_mode & 07777);
    return error_hint(err, "remove files that the runner did not create, then run 'chmod go-w %s'",
                      directory);
}

int metadata_directory_open(const char *directory, int *out_fd, struct error *err)
{
    struct stat status;
    cleanup_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    int errnum = errno;
    if (fd >= 0 ? fstat(fd, &status) < 0 : stat(directory, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errnum, "cannot open [TaskMetadata] Directory '%s'",
                         directory);
    }
    if (metadata_directory_check(KEY, directory, &status, err) < 0) {
        return -1;
    }
    if (fd < 0) {
        return error_set(err, ERROR_SYSTEM, errnum, "cannot open [TaskMetadata] Directory '%s'",
                         directory);
    }
    *out_fd = steal_fd(&fd);
    return 1;
}

int metadata_directory_make(const char *directory, int *out_fd, struct error *err)
{
    int found = metadata_directory_open(directory, out_fd, err);
    if (found != 0) {
        return found < 0 ? -1 : 0;
    }
    if (fd_make_directories(directory, 0700, err) < 0) {
        return -1;
    }
    found = metadata_directory_open(directory, out_fd, err);
    return found == 0 ? error_set(err, ERROR_SYSTEM, ENOENT,
                                  "cannot open [TaskMetadata] Directory '%s'", directory)
                      : found - 1;
}

bool metadata_directory_may_make(const char *directory)
{
    char path[PATH_MAX];
    struct stat status;
    int length = snprintf(path, sizeof(path), "%s", directory);
    if (length <= 0 || (size_t)length >= sizeof(path)) {
        return false;
    }
    while (stat(path, &status) < 0) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || path[1] == '\0') {
            return false;
        }
        slash[slash == path ? 1 : 0] = '\0';
    }
    return status.st_uid == geteuid();
}

static int check_file(int fd, const char *directory, const char *name, struct error *err)
{
    char owner[USER_BYTES];
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s/%s'", directory, name);
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(err, ERROR_SYSTEM, 0, "'%s/%s' is not a regular file; remove it",
                         directory, name);
    }
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        name_user(status.st_uid, owner);
        return error_set(err, ERROR_SYSTEM, 0,
                         "'%s/%s' is not trusted: it belongs to the user %s and has mode %04o; it "
                         "must belong to this process's user and be writable by no other; check "
                         "for a task that is still running, then remove it",
                         directory, name, owner, (unsigned)status.st_mode & 07777);
    }
    return 0;
}

int metadata_directory_open_file(int directory_fd, const char *directory, const char *name,
                                 int flags, int *out_fd, struct error *err)
{
    cleanup_fd int fd =
        openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0 && errno == ENOENT && (flags & O_CREAT) == 0) {
        return 0;
    }
    if (fd < 0) { /* ENXIO: a FIFO without a reader; ELOOP: a symbolic link */
        return error_set(err, ERROR_SYSTEM, errno, "cannot open '%s/%s'%s", directory, name,
                         errno == ENXIO || errno == ELOOP ? ", which is not a regular file" : "");
    }
    if (check_file(fd, directory, name, err) < 0) {
        return -1;
    }
    *out_fd = steal_fd(&fd);
    return 1;
}

/* Each job locks one byte of the directory, by the hash of its key: so a lock needs no file of its
 * own, and a killed process leaves none behind. */
static struct flock lock_of(const char *job, short type)
{
    unsigned char hash[crypto_generichash_BYTES];
    uint64_t offset = 0;
    (void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)job, strlen(job), NULL, 0);
    memcpy(&offset, hash, sizeof(offset));
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(offset >> 2), .l_len = 1};
}

int metadata_directory_hold_fd(const char *directory, const char *job)
{
    struct flock lock = lock_of(job, F_RDLCK);
    int fd = -1;
    if (metadata_directory_open(directory, &fd, NULL) == 1) {
        (void)fcntl(fd, F_OFD_SETLK, &lock);
    }
    return fd;
}

void metadata_directory_hold(const char *directory, const char *job)
{
    (void)metadata_directory_hold_fd(directory, job); /* until this process ends */
}

bool metadata_directory_held(const char *directory, const char *job)
{
    struct flock lock = lock_of(job, F_WRLCK);
    cleanup_fd int fd = -1;
    return metadata_directory_open(directory, &fd, NULL) == 1 &&
           fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int metadata_directory_each_file(const char *directory, metadata_directory_visit *visit,
                                 void *context, struct error *err)
{
    int fd = -1;
    int result = metadata_directory_open(directory, &fd, err);
    if (result <= 0) {
        return result;
    }
    cleanup_dir DIR *entries = fdopendir(fd);
    if (entries == NULL) {
        (void)close(fd);
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", directory);
    }
    result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            return errno == 0 ? 0
                              : error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", directory);
        }
        result = visit(context, fd, entry->d_name, err);
    }
    return result;
}

struct jobs_walk {
    int (*visit)(void *context, const char *job, struct error *err);
    void *context;
};

static int visit_job(void *context, int directory_fd, const char *name, struct error *err)
{
    const struct jobs_walk *walk = context;
    char job[METADATA_JOB_BYTES];
    size_t length = strlen(name);
    size_t suffix = strlen(SUFFIX);
    (void)directory_fd;
    if (length <= suffix || length - suffix >= sizeof(job) ||
        strcmp(name + length - suffix, SUFFIX) != 0) {
        return 0;
    }
    memcpy(job, name, length - suffix);
    job[length - suffix] = '\0';
    return walk->visit(walk->context, job, err);
}

int metadata_directory_each(const char *directory,
                            int (*visit)(void *context, const char *job, struct error *err),
                            void *context, struct error *err)
{
    struct jobs_walk walk = {.visit = visit, .context = context};
    return metadata_directory_each_file(directory, visit_job, &walk, err);
}
