/* SPDX-License-Identifier: MIT */
/*
 * spool.h - a durable job's output between its pipes and whoever reads it: bounded, replayable.
 *
 * The job's monitor reads the pipes straight into a mapped file (a memory file, or an unlinked one
 * in a directory) and owns all bookkeeping, unless it lends both to its session for a while
 * (lease.h); the session maps the same file and sends from there. Both streams share one pool of
 * slots, so the limit is per job; slots that were released last are used first, and after a change
 * of hands those with the lowest numbers, so a reader that keeps up touches little memory. A byte
 * keeps its place from when it is read until spool_release() passes it. Offsets are bytes since the
 * start of the stream. Memory and disk are reserved before they are touched: a full disk is a full
 * spool, never a SIGBUS.
 */
#ifndef BERTH_AGENT_JOB_SPOOL_H
#define BERTH_AGENT_JOB_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define SPOOL_SLOT_BYTES (124 * 1024)
/* In front of a slot's bytes, which then begin as those of a pipe do, at the start of a page. */
#define SPOOL_HEAD_BYTES  4096
#define SPOOL_PLACE_BYTES (SPOOL_HEAD_BYTES + SPOOL_SLOT_BYTES)
#define SPOOL_STREAMS     2
#define SPOOL_LEAST_BYTES (2 * SPOOL_SLOT_BYTES) /* a slot for each stream */
/* What an idle spool may keep, and one that is lent has if there may be so many: more than a reader
 * that keeps up has not acknowledged. */
#define SPOOL_KEPT_SLOTS 32
#define SPOOL_MARK_BYTES 16

struct spool {
    int fd;          /* -1: not open */
    int reader_fd;   /* read-only where the system lets us */
    bool sealed;     /* whoever has 'fd' cannot change the file's size */
    bool borrowed;   /* lease.h: the map is the view's, and no slot may be added */
    bool no_packets; /* lease.h: the borrower's pipes are streams of bytes */
    char *map;
    size_t map_bytes;
    uint32_t slots;              /* at most so many are ever used */
    uint32_t allocated;          /* so many have room reserved in the file */
    uint32_t lease;              /* lease.h: which one, of those lent or borrowed */
    char mark[SPOOL_MARK_BYTES]; /* the owner's: of the last lease */
    bool *used;                  /* of each slot, while the file's tables are read */
    uint32_t *free_list;         /* reserved and not in use; the last is used next */
    uint32_t free_count;
    uint32_t *slot_of[SPOOL_STREAMS]; /* of the stream's slot number modulo 'slots' */
    uint64_t head[SPOOL_STREAMS];     /* bytes read from the job */
    uint64_t tail[SPOOL_STREAMS];     /* bytes released */
};

/* 'directory' NULL: in memory. The limit is one of output; a slot takes a page more. On failure
 * nothing is left; spool_close() accepts that state. */
int spool_open(struct spool *spool, int64_t limit_bytes, const char *directory, struct error *err)
    __attribute__((warn_unused_result));
void spool_close(struct spool *spool);

enum spool_fill { SPOOL_DRY, SPOOL_MORE, SPOOL_FULL, SPOOL_ENDED };

/* Reads what a non-blocking pipe holds, as far as there is room. DRY: nothing was left. */
enum spool_fill spool_fill(struct spool *spool, int stream, int fd);

/* Everything before 'offset' will not be asked for again. Offsets from the past or the future are
 * ignored. */
void spool_release(struct spool *spool, int stream, uint64_t offset);

/* The session's side. The descriptor stays the caller's and may be closed afterwards. */
struct spool_view {
    char *map;
    size_t map_bytes;
    uint32_t slots;
    bool writable;
};

int spool_view_open(struct spool_view *view, int fd);
void spool_view_close(struct spool_view *view);

/* The bytes at 'offset', at most *length of them; sets *length to how many lie together. The
 * caller knows from the monitor that they are there. NULL: the file is not what it should be. */
const char *spool_view_at(const struct spool_view *view, int stream, uint64_t offset,
                          size_t *length);

#endif
