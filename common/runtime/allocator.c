/* SPDX-License-Identifier: MIT */
/*
 * allocator.c - malloc, calloc and free of the released programs: musl's, behind a block cache (see
 * block_cache.h for why). The linker sends every call here (--wrap); realloc and the aligned
 * allocations go to musl directly.
 *
 * Threads share one cache and bypass it while it is in use. A fork while another thread uses it
 * leaves it in use in the child, which is only slower.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/runtime/block_cache.h"

/* The names that the linker's --wrap requires. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void __wrap_free(void *block);

static struct block_cache cache;
static atomic_flag in_use = ATOMIC_FLAG_INIT;

static void *take(size_t bytes)
{
    void *block = NULL;
    if (block_cache_wants(bytes) &&
        !atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
        block = block_cache_take(&cache, bytes);
        atomic_flag_clear_explicit(&in_use, memory_order_release);
    }
    return block;
}

void *__wrap_malloc(size_t bytes)
{
    void *block = take(bytes);
    return block != NULL ? block : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        return __real_calloc(count, bytes); /* fails and sets errno */
    }
    void *block = take(total);
    return block != NULL ? memset(block, 0, total) : __real_calloc(count, bytes);
}

void __wrap_free(void *block)
{
    /* musl checks that this is a block in use. */
    size_t bytes = block == NULL ? 0 : malloc_usable_size(block);
    bool kept = false;
    if (block_cache_wants(bytes) &&
        !atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
        kept = block_cache_give(&cache, block, bytes);
        atomic_flag_clear_explicit(&in_use, memory_order_release);
    }
    if (!kept) {
        __real_free(block);
    }
}
