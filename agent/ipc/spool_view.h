/* SPDX-License-Identifier: MIT */
/*
 * spool_view.h - the file that holds a resumable job's output, and a session's view of it.
 *
 * The job's monitor writes the file (spool.h): a memory file, or an unlinked one in --spool-dir.
 * Both streams share one pool of slots, so the limit is per job. A table for each stream maps the
 * number of a slot in the stream to a slot of the pool. A byte stays in place until the monitor
 * releases it. Offsets count bytes from the start of the stream.
 */
#ifndef BERTH_AGENT_IPC_SPOOL_VIEW_H
#define BERTH_AGENT_IPC_SPOOL_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "agent/limits.h"

#define SPOOL_STREAMS    2
#define SPOOL_SLOT_BYTES (LIMIT_SPOOL_LEAST_BYTES / SPOOL_STREAMS)

/* At the start of the file. The tables of both streams follow, then, page-aligned, the slots. */
struct spool_header {
    uint32_t slots;
};

size_t spool_pool_offset(uint32_t slots);
size_t spool_file_bytes(uint32_t slots);
size_t spool_table_offset(uint32_t slots, int stream, uint64_t offset);

struct spool_view {
    const char *map;
    size_t map_bytes;
    uint32_t slots;
};

/* The descriptor stays the caller's and may be closed afterwards. Returns -1 with errno. */
int spool_view_open(struct spool_view *view, int fd);
void spool_view_close(struct spool_view *view);

/* The bytes at 'offset', at most *length of them; sets *length to how many are contiguous. The
 * monitor must have reported that they are there. NULL: the file is damaged. */
const char *spool_view_at(const struct spool_view *view, int stream, uint64_t offset,
                          size_t *length);

#endif
