/* SPDX-License-Identifier: MIT */
/*
 * docker_stream.h - the two streams of the Engine API: JSON lines, and logs in frames. Pure bytes.
 *
 * JSON lines come in pieces of any size, as of a pull; a line over the ceiling ends it. Log frames
 * (Engine API, "Attach to a container", stream format) are 8 bytes of header, the last four the
 * length in network order, then the text of stdout or stderr.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_STREAM_H
#define BERTH_DRIVER_BACKEND_DOCKER_STREAM_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "common/buffer.h"

#define DOCKER_LINE_CEILING_BYTES (64UL << 10)

struct docker_lines {
    struct buffer pending;
    void (*on_object)(void *context, const cJSON *object);
    void *context;
};

void docker_lines_init(struct docker_lines *lines,
                       void (*on_object)(void *context, const cJSON *object), void *context);
void docker_lines_done(struct docker_lines *lines);

/* Returns -1 when a line is too long or no JSON object. */
int docker_lines_feed(struct docker_lines *lines, const char *bytes, size_t length)
    __attribute__((warn_unused_result));
/* What came after the last newline. */
int docker_lines_end(struct docker_lines *lines) __attribute__((warn_unused_result));

/* The texts of all whole frames, one after the other, into 'out', whose fullness ends it; bytes
 * that are no frame are taken as they are (a container with a terminal has none). */
void docker_frames_text(const char *bytes, size_t length, struct buffer *out);

#endif
