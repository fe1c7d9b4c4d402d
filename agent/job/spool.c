/* SPDX-License-Identifier: MIT */
#include "agent/job/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"

/* Slots that stay mapped when they are full: as much as a quick reader has not acknowledged yet, or
 * each of them would cost page faults again. */
#define RESIDENT_SLOTS 256
/* A full pipe goes into so many slots, whatever is left of the last one. */
#define FILL_PARTS (LIMIT_AHEAD_BYTES / SPOOL_SLOT_BYTES + 2)

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

static int open_in_memory(int *out_reader)
{
    int fd = memfd_create("berth-spool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *out_reader = fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && *out_reader < 0) {
        *out_reader = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* no /proc */
    }
    return fd;
}

/* Room for the bytes, or -1; a file system that cannot reserve is taken at its word. */
static int reserve(const struct spool *spool, size_t offset, size_t length)
{
    int result;
    do {
        result = fallocate(spool->fd, 0, (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    return result < 0 && errno != EOPNOTSUPP ? -1 : 0;
}

int spool_tables_open(struct spool *spool)
{
    spool->free_list = calloc(spool->slots, sizeof(uint32_t));
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        spool->slot_of[stream] = calloc(spool->slots, sizeof(uint32_t));
    }
    spool->used = calloc(spool->slots, sizeof(bool));
    bool whole = spool->free_list != NULL && spool->used != NULL && spool->slot_of[0] != NULL &&
                 spool->slot_of[1] != NULL;
    return whole ? 0 : -1;
}

static int make(struct spool *spool, const char *directory)
{
    spool->fd = directory == NULL ? open_in_memory(&spool->reader_fd)
                                  : open_in_directory(directory, &spool->reader_fd);
    if (spool->fd < 0 || spool->reader_fd < 0 ||
        ftruncate(spool->fd, (off_t)spool->map_bytes) < 0 ||
        reserve(spool, 0, spool_slot_offset(spool->slots, SPOOL_STREAMS)) < 0) {
        return -1;
    }
    spool->sealed = fcntl(spool->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
    char *map = mmap(NULL, spool->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, spool->fd, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    spool->map = map;
    spool_file(spool)->slots = spool->slots;
    return spool_tables_open(spool);
}

int spool_open(struct spool *spool, int64_t limit_bytes, const char *directory, struct error *err)
{
    *spool = (struct spool){.fd = -1, .reader_fd = -1};
    spool->slots = (uint32_t)((limit_bytes + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES);
    spool->slots = spool->slots < SPOOL_STREAMS ? SPOOL_STREAMS : spool->slots;
    spool->map_bytes = spool_file_bytes(spool->slots);
    if (make(spool, directory) < 0) {
        int reason = errno;
        spool_close(spool);
        return error_set(err, ERROR_SYSTEM, reason, "cannot make a spool%s%s",
                         directory == NULL ? "" : " in ", directory == NULL ? "" : directory);
    }
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool->map != NULL && !spool->borrowed) {
        (void)munmap(spool->map, spool->map_bytes);
    }
    spool->map = NULL;
    cleanup_fd_fn(&spool->fd);
    cleanup_fd_fn(&spool->reader_fd);
    free(spool->free_list);
    free(spool->used);
    spool->free_list = NULL;
    spool->used = NULL;
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        free(spool->slot_of[stream]);
        spool->slot_of[stream] = NULL;
    }
}

char *spool_at(const struct spool *spool, int stream, uint64_t offset)
{
    uint32_t slot = spool->slot_of[stream][offset / SPOOL_SLOT_BYTES % spool->slots];
    return spool->map + spool_slot_offset(spool->slots, slot) + SPOOL_HEAD_BYTES +
           offset % SPOOL_SLOT_BYTES;
}

static int add_slot(struct spool *spool)
{
    uint32_t slot = spool->allocated;
    if (spool->borrowed || slot >= spool->slots ||
        reserve(spool, spool_slot_offset(spool->slots, slot), SPOOL_PLACE_BYTES) < 0) {
        return -1;
    }
    spool->allocated++;
    spool->free_list[spool->free_count++] = slot;
    return 0;
}

void spool_reserve(struct spool *spool, uint32_t slots)
{
    while (spool->allocated < slots && add_slot(spool) == 0) {
    }
}

int spool_take_slot(struct spool *spool, int stream, uint64_t offset)
{
    if (spool->free_count == 0 && add_slot(spool) < 0) {
        return -1;
    }
    uint32_t slot = spool->free_list[--spool->free_count];
    spool->slot_of[stream][offset / SPOOL_SLOT_BYTES % spool->slots] = slot;
    memcpy(spool->map + spool_table_offset(spool->slots, stream, offset), &slot, sizeof(slot));
    return 0;
}

/* Where the next bytes go: what is left of the last slot, and slots for 'wanted' bytes and no more.
 * Returns how many parts there are; *out_end is the offset behind them. */
static int take_room(struct spool *spool, int stream, size_t wanted, struct iovec *parts,
                     uint64_t *out_end)
{
    uint64_t head = spool->head[stream], end = head;
    size_t within = (size_t)(head % SPOOL_SLOT_BYTES);
    int count = 0;
    if (within > 0) {
        parts[count].iov_base = spool_at(spool, stream, head);
        parts[count++].iov_len = SPOOL_SLOT_BYTES - within;
        end += SPOOL_SLOT_BYTES - within;
    }
    while (count < FILL_PARTS && (count == 0 || end - head < wanted) &&
           spool_take_slot(spool, stream, end) == 0) {
        parts[count].iov_base = spool_at(spool, stream, end);
        parts[count++].iov_len = SPOOL_SLOT_BYTES;
        end += SPOOL_SLOT_BYTES;
    }
    *out_end = end;
    return count;
}

/* Slots between the head and 'end' that got no byte: they would be taken again for the same. */
static void give_back(struct spool *spool, int stream, uint64_t end)
{
    uint64_t used = (spool->head[stream] + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES;
    for (uint64_t number = end / SPOOL_SLOT_BYTES; number > used; number--) {
        spool->free_list[spool->free_count++] = spool->slot_of[stream][(number - 1) % spool->slots];
    }
}

/* A full slot is not touched again before it is released. With a reader that is far behind it
 * leaves this process's resident memory, by which the kernel chooses whom to kill when there is
 * none left; the bytes stay in the file. */
static void let_go(const struct spool *spool, int stream, uint64_t from, uint64_t to)
{
    for (uint64_t number = from / SPOOL_SLOT_BYTES; number < to / SPOOL_SLOT_BYTES; number++) {
        if (spool->slot_of[stream][number % spool->slots] >= RESIDENT_SLOTS) {
            (void)madvise(spool_at(spool, stream, number * SPOOL_SLOT_BYTES), SPOOL_SLOT_BYTES,
                          MADV_DONTNEED);
        }
    }
}

/* In one call: between two, the writer would wake and wait for the pipe's lock. */
enum spool_fill spool_fill(struct spool *spool, int stream, int fd)
{
    struct iovec parts[FILL_PARTS];
    uint64_t end = 0;
    int there = 0;
    if (ioctl(fd, FIONREAD, &there) < 0 || there < 0) {
        there = 0; /* it still may have ended */
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
    let_go(spool, stream, before, spool->head[stream]);
    give_back(spool, stream, end);
    if (got > 0) {
        return got < there ? SPOOL_MORE : SPOOL_DRY;
    }
    return got < 0 && reason == EAGAIN ? SPOOL_DRY : SPOOL_ENDED;
}

/* All slots that are not used; those with the lowest numbers are taken first. */
static void list_free(struct spool *spool)
{
    spool->free_count = 0;
    for (uint32_t slot = spool->allocated; slot > 0; slot--) {
        if (!spool->used[slot - 1]) {
            spool->free_list[spool->free_count++] = slot - 1;
        }
    }
}

/* A burst must not cost memory for the job's life. */
void spool_trim(struct spool *spool)
{
    bool holds = spool->head[0] != spool->tail[0] || spool->head[1] != spool->tail[1];
    if (holds || spool->allocated <= SPOOL_KEPT_SLOTS) {
        return;
    }
    size_t start = spool_slot_offset(spool->slots, SPOOL_KEPT_SLOTS);
    size_t length = (size_t)(spool->allocated - SPOOL_KEPT_SLOTS) * SPOOL_PLACE_BYTES;
    if (fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                  (off_t)length) < 0) {
        return;
    }
    spool->allocated = SPOOL_KEPT_SLOTS;
    memset(spool->used, 0, spool->slots * sizeof(bool));
    list_free(spool);
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        if (spool->head[stream] % SPOOL_SLOT_BYTES != 0) { /* the rest of a slot is used next */
            (void)spool_take_slot(spool, stream, spool->head[stream]);
        }
    }
}

void spool_pass(struct spool *spool, int stream, uint64_t offset)
{
    uint64_t first = spool->tail[stream] / SPOOL_SLOT_BYTES;
    uint64_t past = offset / SPOOL_SLOT_BYTES;
    for (uint64_t number = first; number < past; number++) {
        spool->free_list[spool->free_count++] = spool->slot_of[stream][number % spool->slots];
    }
    spool->tail[stream] = offset;
}

void spool_release(struct spool *spool, int stream, uint64_t offset)
{
    if (offset > spool->tail[stream] && offset <= spool->head[stream]) {
        spool_pass(spool, stream, offset);
        spool_trim(spool);
    }
}

/* Marks the slots of a stream's bytes in 'used'. A slot whose bytes are all released is held while
 * it has room. -1: the table cannot be true. */
static int import_stream(struct spool *spool, int stream)
{
    uint64_t head = spool_file(spool)->head[stream], tail = spool_file(spool)->tail[stream];
    if (tail > head || head > INT64_MAX || tail < spool->tail[stream] ||
        head < spool->head[stream]) {
        return -1;
    }
    uint64_t first = tail / SPOOL_SLOT_BYTES;
    uint64_t past = (head + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES;
    if (past - first > spool->allocated) {
        return -1;
    }
    for (uint64_t number = first; number < past; number++) {
        uint32_t slot =
            spool_table_slot(spool->map, spool->slots, stream, number * SPOOL_SLOT_BYTES);
        if (slot >= spool->allocated || spool->used[slot]) {
            return -1;
        }
        spool->used[slot] = true;
        spool->slot_of[stream][number % spool->slots] = slot;
    }
    spool->head[stream] = head;
    spool->tail[stream] = tail;
    return 0;
}

int spool_import(struct spool *spool)
{
    memset(spool->used, 0, spool->slots * sizeof(bool));
    if (import_stream(spool, 0) < 0 || import_stream(spool, 1) < 0) {
        return -1;
    }
    list_free(spool);
    return 0;
}
