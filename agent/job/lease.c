/* SPDX-License-Identifier: MIT */
#include "agent/job/lease.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/job/spool_private.h"

/* The low bits of the word; the lease's number is above them. */
enum { NONE, OPEN, BUSY };
#define STATE_BITS 2

static uint32_t word(const struct spool *spool, uint32_t state)
{
    return spool->lease << STATE_BITS | state;
}

static bool change(const struct spool *spool, uint32_t from, uint32_t to)
{
    uint32_t expected = word(spool, from);
    return atomic_compare_exchange_strong(&spool_file(spool)->lease, &expected, word(spool, to));
}

/* --- the owner --- */

bool lease_lend(struct spool *spool)
{
    struct spool_file *file = spool_file(spool);
    spool_reserve(spool, SPOOL_KEPT_SLOTS);
    if (!spool->sealed || spool->free_count == 0 ||
        getrandom(spool->mark, SPOOL_MARK_BYTES, 0) != SPOOL_MARK_BYTES) {
        return false;
    }
    memcpy(file->mark, spool->mark, SPOOL_MARK_BYTES);
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        file->head[stream] = spool->head[stream];
        file->tail[stream] = spool->tail[stream];
    }
    file->allocated = spool->allocated;
    file->reading = 0;
    spool->lease++;
    file->lease = word(spool, OPEN);
    return true;
}

uint64_t lease_moved(const struct spool *spool)
{
    return spool_file(spool)->head[0] + spool_file(spool)->head[1];
}

bool lease_is_open(const struct spool *spool)
{
    return spool_file(spool)->lease != word(spool, NONE);
}

/* The read that was being made. Taken from the file once: whoever else has it may be alive, and
 * not what it was. */
struct last_read {
    uint32_t stream, length;
    uint64_t from;
};

static bool find_last_read(const struct spool *spool, struct last_read *out)
{
    volatile const struct spool_file *file = spool_file(spool);
    *out = (struct last_read){
        .stream = file->reading_stream, .length = file->reading, .from = file->reading_from};
    return out->stream < SPOOL_STREAMS && out->length >= SPOOL_MARK_BYTES &&
           out->length <= SPOOL_SLOT_BYTES - out->from % SPOOL_SLOT_BYTES;
}

static bool is_marked(const struct spool *spool, const struct last_read *last)
{
    uint32_t slot = spool_table_slot(spool->map, spool->slots, (int)last->stream, last->from);
    if (slot >= spool->allocated) {
        return true; /* and spool_import() will say what to think of it */
    }
    const char *bytes = spool->map + spool_slot_offset(spool->slots, slot) + SPOOL_HEAD_BYTES +
                        last->from % SPOOL_SLOT_BYTES;
    return memcmp(bytes + last->length - SPOOL_MARK_BYTES, spool->mark, SPOOL_MARK_BYTES) == 0;
}

/* The borrower died before it could say that it had read. */
static void settle(const struct spool *spool)
{
    struct last_read last;
    if (find_last_read(spool, &last) && spool_file(spool)->head[last.stream] == last.from &&
        !is_marked(spool, &last)) {
        spool_file(spool)->head[last.stream] = last.from + last.length;
    }
}

enum lease_end lease_take_back(struct spool *spool, bool borrower_is_dead)
{
    if (!change(spool, OPEN, NONE) && lease_is_open(spool)) {
        if (!borrower_is_dead) {
            return LEASE_BUSY;
        }
        settle(spool);
        spool_file(spool)->lease = word(spool, NONE);
    }
    if (spool_import(spool) < 0) {
        return LEASE_BROKEN;
    }
    spool_trim(spool);
    return LEASE_ENDED;
}

/* --- the borrower --- */

int lease_borrow(struct spool *borrowed, const struct spool_view *view, uint32_t lease)
{
    *borrowed = (struct spool){.fd = -1,
                               .reader_fd = -1,
                               .borrowed = true,
                               .map = view->map,
                               .map_bytes = view->map_bytes,
                               .slots = view->slots,
                               .lease = lease};
    borrowed->allocated = spool_file(borrowed)->allocated;
    if (!view->writable || borrowed->allocated > borrowed->slots ||
        spool_tables_open(borrowed) < 0 || spool_import(borrowed) < 0) {
        spool_close(borrowed);
        return -1;
    }
    return 0;
}

/* Nobody has the other end, and nothing is left in between. */
static bool has_ended(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN) == 0;
}

/* A job may have made its pipe one of packets (O_DIRECT, pipe(2)), of at most a page: a read takes
 * one of them, and what it leaves of it is lost. A read of more than a page shows that it has not.
 */
static bool may_cut(const struct spool *borrowed, size_t room, size_t there)
{
    return borrowed->no_packets || room >= SPOOL_PAGE || there <= room;
}

/* How much the next read takes. 0: the lease must end. */
static size_t prepare(struct spool *borrowed, int stream, size_t there)
{
    struct spool_file *file = spool_file(borrowed);
    uint64_t head = borrowed->head[stream];
    size_t room = SPOOL_SLOT_BYTES - (size_t)(head % SPOOL_SLOT_BYTES);
    size_t length = there < room ? there : room;
    if (length < SPOOL_MARK_BYTES || !may_cut(borrowed, room, there) ||
        (room == SPOOL_SLOT_BYTES && spool_take_slot(borrowed, stream, head) < 0)) {
        return 0;
    }
    memcpy(spool_at(borrowed, stream, head) + length - SPOOL_MARK_BYTES, file->mark,
           SPOOL_MARK_BYTES);
    file->reading_stream = (uint32_t)stream;
    file->reading_from = head;
    file->reading = (uint32_t)length;
    return length;
}

static bool move(struct spool *borrowed, int stream, int fd, size_t there)
{
    struct spool_file *file = spool_file(borrowed);
    size_t length = prepare(borrowed, stream, there);
    ssize_t got =
        length == 0 ? 0 : read(fd, spool_at(borrowed, stream, borrowed->head[stream]), length);
    if (got > 0) {
        borrowed->head[stream] += (uint64_t)got;
        file->head[stream] = borrowed->head[stream];
    }
    file->reading = 0;
    borrowed->no_packets = borrowed->no_packets || got > SPOOL_PAGE;
    return got > 0 && (size_t)got == length;
}

enum lease_fill lease_fill(struct spool *borrowed, int stream, int fd)
{
    int there = 0;
    if (ioctl(fd, FIONREAD, &there) < 0 || there < 0) {
        return LEASE_OVER;
    }
    if (there == 0) {
        return has_ended(fd) ? LEASE_OVER : LEASE_EMPTY;
    }
    if (!change(borrowed, OPEN, BUSY)) {
        return LEASE_OVER;
    }
    bool moved = move(borrowed, stream, fd, (size_t)there);
    return change(borrowed, BUSY, OPEN) && moved ? LEASE_READ : LEASE_OVER;
}

bool lease_release(struct spool *borrowed, int stream, uint64_t offset)
{
    if (offset <= borrowed->tail[stream] || offset > borrowed->head[stream]) {
        return true;
    }
    if (!change(borrowed, OPEN, BUSY)) {
        return false;
    }
    /* Before a slot can be used again. */
    spool_file(borrowed)->tail[stream] = offset;
    spool_pass(borrowed, stream, offset);
    return change(borrowed, BUSY, OPEN);
}

void lease_give_back(struct spool *borrowed)
{
    (void)change(borrowed, OPEN, NONE); /* else it was taken back */
}
