/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/stream.h"

#include <stdint.h>
#include <string.h>

#define FRAME_HEADER_BYTES 8

void docker_lines_init(struct docker_lines *lines,
                       void (*on_object)(void *context, const cJSON *object), void *context)
{
    *lines = (struct docker_lines){.on_object = on_object, .context = context};
    buffer_init(&lines->pending, DOCKER_LINE_CEILING_BYTES);
}

void docker_lines_done(struct docker_lines *lines)
{
    buffer_done(&lines->pending);
}

static int take_line(struct docker_lines *lines, const char *line, size_t length)
{
    while (length > 0 && (line[length - 1] == '\r' || line[length - 1] == ' ')) {
        length--;
    }
    if (length == 0) {
        return 0;
    }
    cJSON *object = cJSON_ParseWithLength(line, length);
    int result = cJSON_IsObject(object) ? 0 : -1;
    if (result == 0) {
        lines->on_object(lines->context, object);
    }
    cJSON_Delete(object);
    return result;
}

int docker_lines_feed(struct docker_lines *lines, const char *bytes, size_t length)
{
    while (length > 0) {
        const char *newline = memchr(bytes, '\n', length);
        size_t part = newline == NULL ? length : (size_t)(newline - bytes);
        if (part > 0 && buffer_append(&lines->pending, bytes, part) < 0) {
            return -1;
        }
        if (newline == NULL) {
            return 0;
        }
        if (docker_lines_end(lines) < 0) {
            return -1;
        }
        bytes += part + 1;
        length -= part + 1;
    }
    return 0;
}

int docker_lines_end(struct docker_lines *lines)
{
    int result = lines->pending.length == 0
                     ? 0
                     : take_line(lines, lines->pending.bytes, lines->pending.length);
    buffer_clear(&lines->pending);
    return result;
}

/* The length of the frame's text, or -1 when these bytes begin no frame. */
static int64_t frame_length(const unsigned char *header, size_t length)
{
    if (length < FRAME_HEADER_BYTES || header[0] > 2 || header[1] != 0 || header[2] != 0 ||
        header[3] != 0) {
        return -1;
    }
    return ((int64_t)header[4] << 24) | ((int64_t)header[5] << 16) | ((int64_t)header[6] << 8) |
           (int64_t)header[7];
}

void docker_frames_text(const char *bytes, size_t length, struct buffer *out)
{
    while (length > 0) {
        int64_t text = frame_length((const unsigned char *)bytes, length);
        size_t skip = text < 0 ? 0 : FRAME_HEADER_BYTES;
        size_t take = text < 0 || (uint64_t)text > length - skip ? length - skip : (size_t)text;
        if (take > 0 && buffer_append_last(out, bytes + skip, take) < 0) {
            return;
        }
        bytes += skip + take;
        length -= skip + take;
    }
}

bool docker_frame_next(const char **at, size_t *left, const char **out_text, size_t *out_length)
{
    int64_t length = frame_length((const unsigned char *)*at, *left);
    if (length < 0 || (uint64_t)length > *left - FRAME_HEADER_BYTES) {
        return false;
    }
    *out_text = *at + FRAME_HEADER_BYTES;
    *out_length = (size_t)length;
    *at += FRAME_HEADER_BYTES + (size_t)length;
    *left -= FRAME_HEADER_BYTES + (size_t)length;
    return true;
}
