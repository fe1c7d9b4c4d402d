/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - a growing byte buffer with a ceiling fixed at birth.
 *
 * The caller embeds the struct and owns it: buffer_init() then any number of appends then
 * buffer_done(). Bytes it lets go of, by growing too, are wiped: scripts, tokens and keys pass
 * through here. They are not kept out of swap or dumps; sodium_malloc does that. 'bytes' always
 * ends in a NUL that 'length' does not count, so text can be used as a string. An append that would
 * pass 'ceiling_bytes' or finds no memory returns -1 and leaves the buffer as it was.
 */
#ifndef BERTH_BUFFER_H
#define BERTH_BUFFER_H

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
int buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
/* Drops 'length' bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t length);

#define cleanup_buffer __attribute__((cleanup(buffer_done)))

#endif
