/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_FIRST_BYTES 256

void buffer_init(struct buffer *buffer, size_t ceiling_bytes)
{
    memset(buffer, 0, sizeof(*buffer));
    buffer->ceiling_bytes = ceiling_bytes;
}

static void wipe_and_free(char *bytes, size_t length)
{
    if (bytes != NULL) {
        explicit_bzero(bytes, length);
        free(bytes);
    }
}

void buffer_done(struct buffer *buffer)
{
    wipe_and_free(buffer->bytes, buffer->allocated);
    buffer_init(buffer, buffer->ceiling_bytes);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->bytes != NULL) {
        buffer->bytes[0] = '\0';
    }
}

static int reserve(struct buffer *buffer, size_t more)
{
    if (more > buffer->ceiling_bytes || buffer->length > buffer->ceiling_bytes - more) {
        return -1;
    }
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->allocated) {
        return 0;
    }
    size_t size = buffer->allocated == 0 ? BUFFER_FIRST_BYTES : buffer->allocated;
    while (size < needed) {
        size *= 2;
    }
    char *grown = malloc(size); /* realloc() would not wipe the old copy */
    if (grown == NULL) {
        return -1;
    }
    if (buffer->bytes != NULL) {
        memcpy(grown, buffer->bytes, buffer->length + 1);
        wipe_and_free(buffer->bytes, buffer->allocated);
    }
    buffer->bytes = grown;
    buffer->allocated = size;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (reserve(buffer, length) < 0) {
        return -1;
    }
    if (length > 0) {
        memcpy(buffer->bytes + buffer->length, bytes, length);
    }
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_last(struct buffer *buffer, const void *bytes, size_t length)
{
    size_t taken = length < buffer->ceiling_bytes ? length : buffer->ceiling_bytes;
    size_t room = buffer->ceiling_bytes - taken;
    if (buffer->length > room) {
        buffer_consume(buffer, buffer->length - room);
    }
    return buffer_append(buffer, (const char *)bytes + (length - taken), taken);
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    int result = -1;
    if (length >= 0 && reserve(buffer, (size_t)length) == 0) {
        (void)vsnprintf(buffer->bytes + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
        result = 0;
    }
    va_end(again);
    return result;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    if (length >= buffer->length) {
        buffer_clear(buffer);
        return;
    }
    memmove(buffer->bytes, buffer->bytes + length, buffer->length - length + 1);
    buffer->length -= length;
}
