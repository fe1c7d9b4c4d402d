/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs_pace.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define LOCK_TRIES    100
#define LOCK_PAUSE_MS 2
/* A slot farther off than this was not written by a driver that is still waiting for it. */
#define BACKLOG_CEILING_MS (10 * 60 * 1000)

/* The holder keeps the lock for two system calls; one that was stopped meanwhile is not waited
 * for, since a slot taken twice does less harm than a job that hangs. */
static bool lock(int fd)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return false;
}

/* Slots count from this boot: what an earlier one left means nothing. */
static bool of_this_boot(int fd)
{
    struct stat status;
    struct timespec now;
    struct timespec up;
    return fstat(fd, &status) == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           clock_gettime(CLOCK_BOOTTIME, &up) == 0 && status.st_mtime >= now.tv_sec - up.tv_sec;
}

int64_t ecs_pace_reserve(const struct config *config, const char *kind)
{
    char path[PATH_MAX];
    int64_t now_ms = clock_now_ms();
    int64_t slot_ms = now_ms;
    int length = snprintf(path, sizeof(path), "%s/.ecs-%s", config->metadata_directory, kind);
    if (length < 0 || length >= (int)sizeof(path)) {
        return now_ms;
    }
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !lock(fd)) {
        return now_ms;
    }
    int64_t stored_ms = 0;
    if (pread(fd, &stored_ms, sizeof(stored_ms), 0) == (ssize_t)sizeof(stored_ms) &&
        of_this_boot(fd) && stored_ms > now_ms && stored_ms < now_ms + BACKLOG_CEILING_MS) {
        slot_ms = stored_ms;
    }
    stored_ms = slot_ms + 1000 / config->fargate.calls_per_second;
    ssize_t written = pwrite(fd, &stored_ms, sizeof(stored_ms), 0);
    return written == (ssize_t)sizeof(stored_ms) ? slot_ms : now_ms;
}
