/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/pace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/base/file_lock.h"
#include "driver/record/metadata_directory.h"

#define NAME_BYTES 32
/* The lock is held for two system calls. If the holder is stopped meanwhile, do not wait for it: a
 * slot used twice does less harm than a job that hangs. */
#define LOCK_MS        500
#define REGISTER_MS    1250
#define REGISTER_BURST 15
#define DELETE_MS      1250
#define DELETE_BURST   4
/* A slot further in the future is stale. */
#define BACKLOG_CEILING_MS (10 * 60 * 1000)

/* Slots are relative to this boot; older ones are stale. */
static bool of_this_boot(int fd)
{
    struct stat status;
    struct timespec now;
    struct timespec up;
    return fstat(fd, &status) == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           clock_gettime(CLOCK_BOOTTIME, &up) == 0 && status.st_mtime >= now.tv_sec - up.tv_sec;
}

/* Returns the locked file of 'kind', or -1. */
static int open_locked(const char *directory, const char *kind)
{
    char name[NAME_BYTES];
    struct error err;
    cleanup_fd int directory_fd = -1;
    cleanup_fd int fd = -1;
    (void)snprintf(name, sizeof(name), ".ecs-%s", kind);
    int found = metadata_directory_open(directory, &directory_fd, &err);
    if (found == 1) {
        found = metadata_directory_open_file(directory_fd, directory, name, O_RDWR, &fd, &err);
        if (found == 0) { /* O_CREAT locks the directory, for which all drivers would queue */
            found = metadata_directory_open_file(directory_fd, directory, name, O_RDWR | O_CREAT,
                                                 &fd, &err);
        }
    }
    if (found < 0) {
        log_debug("calls to ECS are not spaced out: %s", err.message);
    }
    return found == 1 && file_lock(fd, NULL, clock_deadline_ms(LOCK_MS)) == 1 ? steal_fd(&fd) : -1;
}

/* The file holds when the bucket is full again. A call takes one interval of that time, and waits
 * until at most 'spare_ms' are taken. INT64_MAX: the slot would come later than 'wait_ms' from now,
 * and is not taken. */
static int64_t reserve(const struct config *config, const char *kind, int64_t interval_ms,
                       int64_t spare_ms, int64_t wait_ms)
{
    int64_t now_ms = clock_now_ms();
    int64_t full_ms = now_ms;
    cleanup_fd int fd = open_locked(config->metadata_directory, kind);
    if (fd < 0) {
        return now_ms;
    }
    int64_t stored_ms = 0;
    if (pread(fd, &stored_ms, sizeof(stored_ms), 0) == (ssize_t)sizeof(stored_ms) &&
        of_this_boot(fd) && stored_ms > now_ms && stored_ms < now_ms + BACKLOG_CEILING_MS) {
        full_ms = stored_ms;
    }
    int64_t slot_ms = full_ms - spare_ms > now_ms ? full_ms - spare_ms : now_ms;
    if (slot_ms - now_ms > wait_ms) {
        return INT64_MAX;
    }
    stored_ms = full_ms + interval_ms;
    ssize_t written = pwrite(fd, &stored_ms, sizeof(stored_ms), 0);
    return written == (ssize_t)sizeof(stored_ms) ? slot_ms : now_ms;
}

int64_t ecs_pace_reserve(const struct config *config, const char *kind)
{
    return reserve(config, kind, 1000 / config->fargate.calls_per_second, 0, INT64_MAX);
}

bool ecs_pace_try(const struct config *config, const char *kind)
{
    return reserve(config, kind, 1000 / config->fargate.calls_per_second, 0, 0) != INT64_MAX;
}

int64_t ecs_pace_register(const struct config *config)
{
    return reserve(config, "register", REGISTER_MS, (REGISTER_BURST - 1) * REGISTER_MS, INT64_MAX);
}

int64_t ecs_pace_delete(const struct config *config)
{
    return reserve(config, "delete", DELETE_MS, (DELETE_BURST - 1) * DELETE_MS, INT64_MAX);
}

int ecs_pace_wait(struct signals *signals, int64_t slot_ms, int64_t deadline_ms, struct error *err)
{
    if (slot_ms > deadline_ms) {
        return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                         "too many calls of ECS are waiting on this host; no turn came in time");
    }
    return signals_wait(signals, -1, slot_ms) < 0
               ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
               : 0;
}
