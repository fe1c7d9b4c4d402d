/* SPDX-License-Identifier: MIT */
/*
 * lease.h - a spool that its owner lends for a while to the process that sends from it.
 *
 * While a job writes faster than its monitor could pass it on, the monitor (the owner) lends its
 * session the spool and the ends of the pipes: the bytes are then read where they are encrypted.
 * The monitor does not touch either until it has taken the spool back, which it may do at any
 * moment, asked or not, whatever became of the session:
 *
 *   NONE --lease_lend--> OPEN <--> BUSY     (the borrower reads, or releases)
 *     ^------------------'           |
 *     '------------------------------' the borrower is dead, or is treated as if
 *
 * The state is one word in the spool's file, which both change by compare-and-swap where the other
 * may do so too; it carries the lease's number, so that a borrower of an earlier lease gets
 * nowhere.
 *
 * A byte that left the pipe is never lost: the borrower asks how many bytes there are, writes a
 * mark where the last of them will be, and reads just those. A pipe's read that need not wait is
 * not interrupted, and nobody else reads this pipe, so of a borrower that was killed all of them
 * were read, and the mark is gone, or none. The mark is random; the job cannot write it. (Ways
 * around that are left open: a job that reads its own output through /proc or makes its pipe one of
 * packets, and a page fault inside the read that the same kill ends, which takes swap or a memory
 * limit that is reached.)
 *
 * What a borrower leaves in the file is checked before it is believed. The struct is its owner's
 * or borrower's own; only the file is shared. Functions do not block.
 */
#ifndef BERTH_AGENT_JOB_LEASE_H
#define BERTH_AGENT_JOB_LEASE_H

#include "agent/job/spool.h"

/* The owner's side. Returns false when there is nothing to lend: a spool whose file the borrower
 * could cut short, or one without room. The lease's number is in spool->lease. */
bool lease_lend(struct spool *spool);
/* What was read so far, of both streams together. */
uint64_t lease_moved(const struct spool *spool);
/* Whether the borrower still has it. */
bool lease_is_open(const struct spool *spool);

enum lease_end {
    LEASE_ENDED,
    LEASE_BUSY,   /* for a moment: ask again. Only with a borrower that lives */
    LEASE_BROKEN, /* what the borrower left cannot be true: the spool is lost */
};
enum lease_end lease_take_back(struct spool *spool, bool borrower_is_dead);

/* The borrower's side: a spool over its own view, which must be writable and stays its own. -1: no
 * memory, or not what it should be. spool_close() forgets it. */
int lease_borrow(struct spool *borrowed, const struct spool_view *view, uint32_t lease)
    __attribute__((warn_unused_result));

enum lease_fill {
    LEASE_READ,  /* head moved */
    LEASE_EMPTY, /* nothing to read now */
    LEASE_OVER,  /* the owner took it back, or should: no room, the end of the output, less to read
                  * than a mark, or than was said */
};
/* Reads once, into one slot. */
enum lease_fill lease_fill(struct spool *borrowed, int stream, int fd);
/* As spool_release(). Returns false when the owner took it back. */
bool lease_release(struct spool *borrowed, int stream, uint64_t offset);
void lease_give_back(struct spool *borrowed);

#endif
