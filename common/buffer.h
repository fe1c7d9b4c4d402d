/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - a growing byte buffer with a fixed ceiling.
 *
 * The caller embeds the struct: buffer_init(), any number of appends, buffer_done(). Freed bytes
 * are wiped, because scripts, tokens and keys pass through here; they are not kept out of swap or
 * dumps, as with sodium_malloc(). 'bytes' always ends in a NUL that 'length' does not count. An
 * append that would exceed 'ceiling_bytes' or runs out of memory returns -1 and leaves the buffer
 * unchanged.
 */
#ifndef BERTH_COMMON_BUFFER_H
#define BERTH_COMMON_BUFFER_H

#include <stddef.h>

struct buffer {
    char *bytes; /* NULL until the first append */
    size_t length;
    size_t allocated;
    size_t ceiling_bytes;
};

void buffer_init(struct buffer *buffer, size_t ceiling_bytes);
void buffer_done(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);
int buffer_append(struct buffer *buffer, const void *bytes, size_t length)
    __attribute__((warn_unused_result));
int buffer_append_text(struct buffer *buffer, const char *text) __attribute__((warn_unused_result));
/* Keeps the last bytes: at the ceiling the oldest give way. -1: no memory; some may be gone. */
int buffer_append_last(struct buffer *buffer, const void *bytes, size_t length)
    __attribute__((warn_unused_result));
int buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
/* Removes 'length' bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t length);

#define cleanup_buffer __attribute__((cleanup(buffer_done)))

#endif
