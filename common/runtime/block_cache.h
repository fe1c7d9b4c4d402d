/* SPDX-License-Identifier: MIT */
/*
 * block_cache.h - keeps a few large freed blocks, so that the next large allocation need not ask
 * the kernel.
 *
 * libssh allocates, zeroes and frees a block of 33 KB for every packet it encrypts, and musl's
 * allocator maps and unmaps memory for each one: page faults then cost more than the encryption.
 * Blocks smaller than BLOCK_CACHE_LEAST_BYTES are left to the allocator, which is quick with them
 * and keeps its checks for them; blocks above BLOCK_CACHE_MOST_BYTES are rare, and would hold
 * memory.
 *
 * The struct has no memory of its own and is not safe for threads; whoever uses it sees to that.
 */
#ifndef BERTH_RUNTIME_BLOCK_CACHE_H
#define BERTH_RUNTIME_BLOCK_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#define BLOCK_CACHE_LEAST_BYTES (16UL * 1024)
#define BLOCK_CACHE_MOST_BYTES  (128UL * 1024)
#define BLOCK_CACHE_SLOTS       4

struct block_cache {
    struct {
        void *block; /* NULL: nothing kept here */
        size_t bytes;
    } slots[BLOCK_CACHE_SLOTS];
};

/* Whether a block of this size may be kept, and so whether asking makes sense. */
bool block_cache_wants(size_t bytes);

/* A kept block of at least 'bytes' and at most twice that, which the caller then owns, or NULL.
 * Its content is what its last owner left. */
void *block_cache_take(struct block_cache *cache, size_t bytes);

/* True when the block is kept: the caller must not free it. False: there is no room, or the size
 * is none to keep. A block that is kept already is freed twice, which ends the process. */
bool block_cache_give(struct block_cache *cache, void *block, size_t bytes);

#endif
