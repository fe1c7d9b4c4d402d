/* SPDX-License-Identifier: MIT */
#include "agent/child/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

void home_make_parent(const char *fallback)
{
    struct stat status;
    if (stat(fallback, &status) == 0) {
        return;
    }
    mode_t before = umask(022);
    if (fd_make_directories(fallback, 0755, NULL) == 0) {
        (void)chmod(fallback, 01777); /* as /tmp: users make their own directories in it */
    }
    (void)umask(before);
}

static bool is_writable(const char *home)
{
    struct stat status;
    return home != NULL && home[0] == '/' && stat(home, &status) == 0 && S_ISDIR(status.st_mode) &&
           access(home, W_OK | X_OK) == 0;
}

/* Another user may have made the name first. */
static int check_owner(const char *home)
{
    struct stat status;
    cleanup_fd int fd = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        return -1;
    }
    if (status.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    return (status.st_mode & 07777) == 0700 ? 0 : fchmod(fd, 0700);
}

int home_settle(const char *fallback)
{
    char home[4096];
    if (is_writable(getenv("HOME"))) {
        return 0;
    }
    home_make_parent(fallback);
    int length = snprintf(home, sizeof(home), "%s/%u", fallback, (unsigned)geteuid());
    if (length >= (int)sizeof(home)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if ((mkdir(home, 0700) < 0 && errno != EEXIST) || check_owner(home) < 0) {
        return -1;
    }
    return setenv("HOME", home, 1);
}
