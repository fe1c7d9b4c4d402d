/* SPDX-License-Identifier: MIT */
#include "agent/monitor/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/fd.h"

/* An empty spool keeps this much space: enough for a reader that keeps up. */
#define KEPT_SLOTS 32
/* Full slots that stay resident, to save page faults: as much as a fast reader leaves
 * unacknowledged.
 */
#define RESIDENT_SLOTS 256
/* A full pipe fits this many slots, also when the first one is partly used. */
#define FILL_PARTS (LIMIT_AHEAD_BYTES / SPOOL_SLOT_BYTES + 1)

static int open_in_directory(const char *directory, int *out_reader)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/berth-spool-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        *out_reader = open(path, O_RDONLY | O_CLOEXEC);
        (void)unlink(path);
    }
    return fd;
}

static int open_in_memory(int *out_reader, struct error *err)
{
    int fd = fd_memory_file("berth-spool", 0, err);
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *out_reader = fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && *out_reader < 0) {
        *out_reader = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* no /proc */
    }
    return fd;
}

/* Reserves space for the bytes. A file system that cannot reserve is assumed to have room. */
static int reserve(const struct spool *spool, size_t offset, size_t length)
{
    int result;
    do {
        result = fallocate(spool->fd, 0, (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    return result < 0 && errno != EOPNOTSUPP ? -1 : 0;
}

static int make(struct spool *spool, const char *directory, struct error *err)
{
    spool->fd = directory == NULL ? open_in_memory(&spool->reader_fd, err)
                                  : open_in_directory(directory, &spool->reader_fd);
    if (spool->fd < 0 || spool->reader_fd < 0 ||
        ftruncate(spool->fd, (off_t)spool->map_bytes) < 0 ||
        reserve(spool, 0, spool_pool_offset(spool->slots) + LIMIT_SPOOL_LEAST_BYTES) < 0) {
        return -1;
    }
    char *map = mmap(NULL, spool->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, spool->fd, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    spool->map = map;
    spool->free_list = calloc(spool->slots, sizeof(uint32_t));
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        spool->slot_of[stream] = calloc(spool->slots, sizeof(uint32_t));
    }
    if (spool->free_list == NULL || spool->slot_of[0] == NULL || spool->slot_of[1] == NULL) {
        return -1;
    }
    memcpy(map, &(struct spool_header){.slots = spool->slots}, sizeof(struct spool_header));
    return 0;
}

int spool_open(struct spool *spool, int64_t limit_bytes, const char *directory, struct error *err)
{
    *spool = (struct spool){.fd = -1, .reader_fd = -1};
    spool->slots = (uint32_t)(limit_bytes / SPOOL_SLOT_BYTES);
    spool->slots = spool->slots < SPOOL_STREAMS ? SPOOL_STREAMS : spool->slots;
    spool->map_bytes = spool_file_bytes(spool->slots);
    if (make(spool, directory, err) < 0) {
        int reason = errno;
        spool_close(spool);
        return error_set(err, ERROR_SYSTEM, reason, "cannot create a spool%s%s",
                         directory == NULL ? "" : " in ", directory == NULL ? "" : directory);
    }
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool->map != NULL) {
        (void)munmap(spool->map, spool->map_bytes);
        spool->map = NULL;
    }
    cleanup_fd_fn(&spool->fd);
    cleanup_fd_fn(&spool->reader_fd);
    free(spool->free_list);
    spool->free_list = NULL;
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        free(spool->slot_of[stream]);
        spool->slot_of[stream] = NULL;
    }
}

static char *slot_start(const struct spool *spool, int stream, uint64_t offset)
{
    uint32_t slot = spool->slot_of[stream][offset / SPOOL_SLOT_BYTES % spool->slots];
    return spool->map + spool_pool_offset(spool->slots) + (size_t)slot * SPOOL_SLOT_BYTES;
}

/* Takes a slot for the stream's bytes from 'offset' on, and enters it in the file's table. */
static int take_slot(struct spool *spool, int stream, uint64_t offset)
{
    uint32_t slot = spool->allocated;
    if (spool->free_count > 0) {
        slot = spool->free_list[--spool->free_count];
    } else if (slot < spool->slots &&
               reserve(spool, spool_pool_offset(spool->slots) + (size_t)slot * SPOOL_SLOT_BYTES,
                       SPOOL_SLOT_BYTES) == 0) {
        spool->allocated++;
    } else {
        return -1;
    }
    spool->slot_of[stream][offset / SPOOL_SLOT_BYTES % spool->slots] = slot;
    memcpy(spool->map + spool_table_offset(spool->slots, stream, offset), &slot, sizeof(slot));
    return 0;
}

/* Room for the next 'wanted' bytes: the rest of the last slot, then new slots. Returns the number
 * of parts; *out_end is the offset after them. */
static int take_room(struct spool *spool, int stream, size_t wanted, struct iovec *parts,
                     uint64_t *out_end)
{
    uint64_t head = spool->head[stream], end = head;
    size_t within = (size_t)(head % SPOOL_SLOT_BYTES);
    int count = 0;
    if (within > 0) {
        parts[count].iov_base = slot_start(spool, stream, head) + within;
        parts[count++].iov_len = SPOOL_SLOT_BYTES - within;
        end += SPOOL_SLOT_BYTES - within;
    }
    while (count < FILL_PARTS && (count == 0 || end - head < wanted) &&
           take_slot(spool, stream, end) == 0) {
        parts[count].iov_base = slot_start(spool, stream, end);
        parts[count++].iov_len = SPOOL_SLOT_BYTES;
        end += SPOOL_SLOT_BYTES;
    }
    *out_end = end;
    return count;
}

/* Frees slots between the head and 'end' that got no byte. */
static void give_back(struct spool *spool, int stream, uint64_t end)
{
    uint64_t used = (spool->head[stream] + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES;
    for (uint64_t number = end / SPOOL_SLOT_BYTES; number > used; number--) {
        spool->free_list[spool->free_count++] = spool->slot_of[stream][(number - 1) % spool->slots];
    }
}

/* Unmaps the pages of full slots, which the monitor does not use again. Otherwise a reader that is
 * far behind would increase this process's resident memory, by which the OOM killer chooses. */
static void drop_pages(const struct spool *spool, int stream, uint64_t from, uint64_t to)
{
    for (uint64_t number = from / SPOOL_SLOT_BYTES; number < to / SPOOL_SLOT_BYTES; number++) {
        if (spool->slot_of[stream][number % spool->slots] >= RESIDENT_SLOTS) {
            (void)madvise(slot_start(spool, stream, number * SPOOL_SLOT_BYTES), SPOOL_SLOT_BYTES,
                          MADV_DONTNEED);
        }
    }
}

/* One call of readv(): between two the writer would wake up and wait for the pipe's lock. */
enum spool_fill spool_fill(struct spool *spool, int stream, int fd)
{
    struct iovec parts[FILL_PARTS];
    uint64_t end = 0;
    int there = 0;
    if (ioctl(fd, FIONREAD, &there) < 0 || there < 0) {
        there = 0; /* it may still have ended */
    }
    int count = take_room(spool, stream, (size_t)there, parts, &end);
    if (count == 0) {
        return SPOOL_FULL;
    }
    ssize_t got;
    do {
        got = readv(fd, parts, count);
    } while (got < 0 && errno == EINTR);
    int reason = errno;
    uint64_t before = spool->head[stream];
    spool->head[stream] += got > 0 ? (uint64_t)got : 0;
    drop_pages(spool, stream, before, spool->head[stream]);
    give_back(spool, stream, end);
    if (got > 0) {
        return got < there ? SPOOL_MORE : SPOOL_DRY;
    }
    return got < 0 && reason == EAGAIN ? SPOOL_DRY : SPOOL_ENDED;
}

/* Frees space once the spool is empty: a burst must not take memory for the job's life. A stream
 * that ended inside a slot gets a new one. */
static void trim(struct spool *spool)
{
    bool holds = spool->head[0] != spool->tail[0] || spool->head[1] != spool->tail[1];
    if (holds || spool->allocated <= KEPT_SLOTS) {
        return;
    }
    size_t start = spool_pool_offset(spool->slots) + (size_t)KEPT_SLOTS * SPOOL_SLOT_BYTES;
    size_t length = (size_t)(spool->allocated - KEPT_SLOTS) * SPOOL_SLOT_BYTES;
    if (fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                  (off_t)length) < 0) {
        return;
    }
    spool->allocated = KEPT_SLOTS;
    spool->free_count = KEPT_SLOTS;
    for (uint32_t slot = 0; slot < KEPT_SLOTS; slot++) {
        spool->free_list[slot] = KEPT_SLOTS - 1 - slot;
    }
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        if (spool->head[stream] % SPOOL_SLOT_BYTES != 0) {
            (void)take_slot(spool, stream, spool->head[stream]);
        }
    }
}

void spool_release(struct spool *spool, int stream, uint64_t offset)
{
    if (offset <= spool->tail[stream] || offset > spool->head[stream]) {
        return;
    }
    uint64_t first = spool->tail[stream] / SPOOL_SLOT_BYTES;
    uint64_t past = offset / SPOOL_SLOT_BYTES;
    for (uint64_t number = first; number < past; number++) {
        spool->free_list[spool->free_count++] = spool->slot_of[stream][number % spool->slots];
    }
    spool->tail[stream] = offset;
    trim(spool);
}
