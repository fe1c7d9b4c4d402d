/* SPDX-License-Identifier: MIT */
/*
 * spool_private.h - what spool.c (bytes and slots), spool_view.c (who reads them) and lease.c (who
 * else may fill them) share: the layout of the spool's file. Nothing else includes it.
 *
 *   struct spool_file | slot of each number, stdout | the same, stderr | page | slot | slot ...
 *
 * A slot is a page of which only the end is used, for the header of the frame that carries the
 * slot, and SPOOL_SLOT_BYTES bytes of output.
 */
#ifndef BERTH_AGENT_SPOOL_PRIVATE_H
#define BERTH_AGENT_SPOOL_PRIVATE_H

#include <stdatomic.h>

#include "agent/job/spool.h"

#define SPOOL_PAGE 4096

/* Who lends writes it before, who borrows while the lease is open, who lent reads it afterwards. */
struct spool_file {
    uint32_t slots;
    _Atomic uint32_t lease; /* lease.c */
    uint32_t allocated;
    _Atomic uint64_t head[SPOOL_STREAMS], tail[SPOOL_STREAMS];
    /* The read that is being made: its last bytes are 'mark' until there is output in them. */
    uint32_t reading_stream;
    uint64_t reading_from;
    _Atomic uint32_t reading;    /* bytes; 0: none */
    char mark[SPOOL_MARK_BYTES]; /* the owner's */
};

static inline size_t spool_pool_offset(uint32_t slots)
{
    size_t tables = sizeof(struct spool_file) + sizeof(uint32_t) * SPOOL_STREAMS * slots;
    return (tables + SPOOL_PAGE - 1) / SPOOL_PAGE * SPOOL_PAGE;
}

static inline size_t spool_slot_offset(uint32_t slots, uint32_t slot)
{
    return spool_pool_offset(slots) + (size_t)slot * SPOOL_PLACE_BYTES;
}

static inline size_t spool_file_bytes(uint32_t slots)
{
    return spool_slot_offset(slots, slots);
}

static inline size_t spool_table_offset(uint32_t slots, int stream, uint64_t offset)
{
    uint64_t index = offset / SPOOL_SLOT_BYTES % slots;
    return sizeof(struct spool_file) + sizeof(uint32_t) * ((size_t)stream * slots + index);
}

/* From the file's table, once: what a caller checks is what it then believes. */
static inline uint32_t spool_table_slot(const char *map, uint32_t slots, int stream,
                                        uint64_t offset)
{
    const void *entry = map + spool_table_offset(slots, stream, offset);
    return *(volatile const uint32_t *)entry;
}

static inline struct spool_file *spool_file(const struct spool *spool)
{
    return (struct spool_file *)(void *)spool->map;
}

/* spool.c: the tables of 'slots' slots, empty. -1: no memory for them. */
int spool_tables_open(struct spool *spool);
/* spool.c: where the byte at 'offset' is, whose slot must be taken. */
char *spool_at(const struct spool *spool, int stream, uint64_t offset);
/* spool.c: a slot for the stream's bytes from 'offset' on, published in the file's table. -1: none
 * is left. */
int spool_take_slot(struct spool *spool, int stream, uint64_t offset);
/* spool.c: has room for 'slots' slots or as many as there may be. */
void spool_reserve(struct spool *spool, uint32_t slots);
/* spool.c: frees slots before 'offset', which lies between tail and head. */
void spool_pass(struct spool *spool, int stream, uint64_t offset);
/* spool.c: gives memory back once nothing is held. */
void spool_trim(struct spool *spool);
/* spool.c: takes over what another process left in the file. -1: it cannot be true. */
int spool_import(struct spool *spool);

#endif
