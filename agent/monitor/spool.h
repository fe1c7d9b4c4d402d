/* SPDX-License-Identifier: MIT */
/*
 * spool.h - a bounded buffer for a resumable job's output, from which a session can read again.
 *
 * The job's monitor reads the pipes straight into a mapped file (spool_view.h) and does all the
 * bookkeeping; sessions read that file. Slots that were released last are used first, so a
 * reader that keeps up touches little memory. Memory and disk are reserved before they are written:
 * a full disk is a full spool, never a SIGBUS.
 */
#ifndef BERTH_AGENT_MONITOR_SPOOL_H
#define BERTH_AGENT_MONITOR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/ipc/spool_view.h"
#include "common/error.h"

struct spool {
    int fd;        /* -1: not open */
    int reader_fd; /* read-only, except without /proc */
    char *map;
    size_t map_bytes;
    uint32_t slots;      /* the most that are used */
    uint32_t allocated;  /* slots with reserved space in the file */
    uint32_t *free_list; /* reserved, not in use; the last one is used next */
    uint32_t free_count;
    uint32_t *slot_of[SPOOL_STREAMS]; /* by the stream's slot number, modulo 'slots' */
    uint64_t head[SPOOL_STREAMS];     /* bytes read from the job */
    uint64_t tail[SPOOL_STREAMS];     /* bytes released */
};

/* 'directory' NULL: in memory. spool_close() may be called after a failure. */
int spool_open(struct spool *spool, int64_t limit_bytes, const char *directory, struct error *err)
    __attribute__((warn_unused_result));
void spool_close(struct spool *spool);

enum spool_fill { SPOOL_DRY, SPOOL_MORE, SPOOL_FULL, SPOOL_ENDED };

/* Reads from a non-blocking pipe, as much as there is room for. DRY: the pipe is empty now. */
enum spool_fill spool_fill(struct spool *spool, int stream, int fd);

/* Frees everything before 'offset'. Offsets that were released before or not yet written are
 * ignored. */
void spool_release(struct spool *spool, int stream, uint64_t offset);

#endif
