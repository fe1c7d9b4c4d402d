/* SPDX-License-Identifier: MIT */
/*
 * spool_view.h - the file that holds a resumable job's output, and a session's view of it.
 *
 * The job's monitor writes the file (spool.h): a memory file, or an unlinked one in --spool-dir.
 * Both streams share one pool of slots, so the limit is per job. A table for each stream maps the
 * number of a slot in the stream to a slot of the pool. A byte stays in place until the monitor
 * releases it. Offsets count bytes from the start of the stream.
 *
 * A session reads the file and does not map it: its address space has a ceiling
 * (LIMIT_SESSION_MEMORY_BYTES), and --spool-limit has none as low.
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
    int fd;
    uint32_t slots; /* 0: not open */
};

/* The descriptor stays the caller's and may be closed afterwards. Returns -1 with errno. */
int spool_view_open(struct spool_view *view, int fd) __attribute__((warn_unused_result));
void spool_view_close(struct spool_view *view);

/* Copies 'length' bytes from 'offset' on, which the monitor has reported to be there. Returns -1
 * with errno: the file is damaged. */
int spool_view_read(const struct spool_view *view, int stream, uint64_t offset, char *to,
                    size_t length) __attribute__((warn_unused_result));

#endif
