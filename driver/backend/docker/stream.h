/* SPDX-License-Identifier: MIT */
/*
 * stream.h - the two streams of the Engine API: JSON lines, and logs in frames. Pure bytes.
 *
 * JSON lines come in pieces of any size, as of a pull; a line over the ceiling ends it. Log frames
 * (Engine API, "Attach to a container", stream format) are 8 bytes of header, the last four the
 * length in network order, then the text of stdout or stderr.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_STREAM_H
#define BERTH_DRIVER_BACKEND_DOCKER_STREAM_H

#include <cjson/cJSON.h>
#include <stdbool.h>
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

/* Returns -1 if a line is too long or not a JSON object. */
int docker_lines_feed(struct docker_lines *lines, const char *bytes, size_t length)
    __attribute__((warn_unused_result));
/* Handles what came after the last newline. */
int docker_lines_end(struct docker_lines *lines) __attribute__((warn_unused_result));

/* Appends the text of all complete frames to 'out', which keeps its end when it is full. Bytes
 * without frames, as of a container with a terminal, are appended as is. */
void docker_frames_text(const char *bytes, size_t length, struct buffer *out);

/* The next complete frame of 'at'; its text stays there. Returns false at the end, and for an
 * incomplete one or bytes without frames. */
bool docker_frame_next(const char **at, size_t *left, const char **out_text, size_t *out_length);

#endif
