/* SPDX-License-Identifier: MIT */
/* A monitor takes its spool back from a session that may have written anything into the file.
 * Beyond "no crash": what it then believes is consistent, no slot is used twice, and it goes on
 * reading; and a session finds a lease that it can use, or none. The first byte says who lives, the
 * rest lies over the file's start. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/job/lease.h"
#include "agent/job/spool_private.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS 8

enum { DEAD = 1, KEEP_WORD = 2, BUSY_WORD = 4, BORROW = 8 };

static void check(const struct spool *spool)
{
    bool used[SLOTS] = {false};
    for (uint32_t i = 0; i < spool->free_count; i++) {
        fuzz_require(spool->free_list[i] < spool->allocated && !used[spool->free_list[i]]);
        used[spool->free_list[i]] = true;
    }
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        fuzz_require(spool->tail[stream] <= spool->head[stream]);
        for (uint64_t at = spool->tail[stream] / SPOOL_SLOT_BYTES;
             at * SPOOL_SLOT_BYTES < spool->head[stream]; at++) {
            uint32_t slot = spool->slot_of[stream][at % spool->slots];
            fuzz_require(slot < spool->allocated && !used[slot]);
            used[slot] = true;
        }
    }
}

/* What a job writes; nothing of it may get lost, or read twice, when nobody else reads. */
static void write_and_read(struct spool *spool, const int ends[2])
{
    static const char bytes[40000];
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        uint64_t before = spool->head[stream];
        fuzz_require(write(ends[1], bytes, sizeof(bytes)) == sizeof(bytes));
        enum spool_fill result = spool_fill(spool, stream, ends[0]);
        fuzz_require(result == SPOOL_FULL || spool->head[stream] > before);
        check(spool);
        char rest[sizeof(bytes)];
        (void)!read(ends[0], rest, sizeof(rest));
    }
}

static void lie(struct spool *spool, const uint8_t *bytes, size_t size)
{
    struct spool_file *file = spool_file(spool);
    size_t room = spool_pool_offset(spool->slots);
    uint32_t word = file->lease, slots = file->slots;
    memcpy(file, bytes + 1, size - 1 < room ? size - 1 : room);
    file->slots = slots;                               /* nobody reads it but who opens a view */
    memcpy(spool->mark, file->mark, SPOOL_MARK_BYTES); /* or no input would ever hold it */
    if ((bytes[0] & KEEP_WORD) != 0) {
        file->lease = (bytes[0] & BUSY_WORD) != 0 ? word + 1 : word;
    }
}

static void borrow(const struct spool *spool, const int ends[2])
{
    struct spool_view view;
    struct spool borrowed;
    fuzz_require(spool_view_open(&view, spool->fd) == 0);
    if (lease_borrow(&borrowed, &view, spool->lease) == 0) {
        check(&borrowed);
        fuzz_require(write(ends[1], "twenty bytes or more", 20) == 20);
        for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
            (void)lease_fill(&borrowed, stream, ends[0]);
            (void)lease_release(&borrowed, stream, borrowed.head[stream]);
        }
        char rest[20];
        (void)!read(ends[0], rest, sizeof(rest));
        spool_close(&borrowed);
    }
    spool_view_close(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct spool spool;
    struct error err;
    int ends[2];
    if (size == 0) {
        return 0;
    }
    fuzz_require(spool_open(&spool, (int64_t)SLOTS * SPOOL_SLOT_BYTES, NULL, &err) == 0);
    fuzz_require(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    write_and_read(&spool, ends);
    spool_release(&spool, 0, 100);
    fuzz_require(lease_lend(&spool));
    lie(&spool, bytes, size);
    if ((bytes[0] & BORROW) != 0) {
        borrow(&spool, ends);
    }
    enum lease_end end = lease_take_back(&spool, (bytes[0] & DEAD) != 0);
    fuzz_require(end != LEASE_BUSY || (bytes[0] & DEAD) == 0);
    if (end == LEASE_BUSY) {
        end = lease_take_back(&spool, true);
        fuzz_require(end != LEASE_BUSY);
    }
    if (end == LEASE_ENDED) {
        check(&spool);
        write_and_read(&spool, ends);
        spool_release(&spool, 0, spool.head[0]);
        check(&spool);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    spool_close(&spool);
    return 0;
}
