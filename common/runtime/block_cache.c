/* SPDX-License-Identifier: MIT */
#include "common/runtime/block_cache.h"

bool block_cache_wants(size_t bytes)
{
    return bytes >= BLOCK_CACHE_LEAST_BYTES && bytes <= BLOCK_CACHE_MOST_BYTES;
}

void *block_cache_take(struct block_cache *cache, size_t bytes)
{
    if (!block_cache_wants(bytes)) {
        return NULL;
    }
    for (int i = 0; i < BLOCK_CACHE_SLOTS; i++) {
        size_t kept = cache->slots[i].bytes;
        if (cache->slots[i].block != NULL && kept >= bytes && kept / 2 <= bytes) {
            void *block = cache->slots[i].block;
            cache->slots[i].block = NULL;
            return block;
        }
    }
    return NULL;
}

bool block_cache_give(struct block_cache *cache, void *block, size_t bytes)
{
    int room = -1;
    if (!block_cache_wants(bytes)) {
        return false;
    }
    for (int i = 0; i < BLOCK_CACHE_SLOTS; i++) {
        if (cache->slots[i].block == block) {
            __builtin_trap(); /* the allocator does not see this double free */
        }
        room = cache->slots[i].block == NULL ? i : room;
    }
    if (room < 0) {
        return false;
    }
    cache->slots[room].block = block;
    cache->slots[room].bytes = bytes;
    return true;
}
