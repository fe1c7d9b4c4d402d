/* SPDX-License-Identifier: MIT */
#include "common/jobwire.h"

#include <string.h>

#define USAGE_BYTES (5 * 8)

enum layout_flags { HAS_ID = 1, HAS_OFFSETS = 2, HAS_TOTAL = 4, HAS_STREAM = 8, HAS_USAGE = 16 };

/* The fields before a frame's bytes, and the ceiling of the bytes, for each type. */
struct layout {
    unsigned flags;
    unsigned number_bytes; /* width of 'number' */
    uint32_t ceiling;      /* of the bytes */
};

static const struct layout layouts[] = {
    [JOBWIRE_START] = {HAS_ID, 0, JOBWIRE_COMMAND_BYTES},
    [JOBWIRE_INPUT] = {0, 0, JOBWIRE_INPUT_BYTES},
    [JOBWIRE_INPUT_END] = {HAS_TOTAL, 0, 0},
    [JOBWIRE_ATTACH] = {HAS_ID | HAS_OFFSETS, 0, 0},
    [JOBWIRE_ACK] = {HAS_OFFSETS, 0, 0},
    [JOBWIRE_SIGNAL] = {0, 0, 16},
    [JOBWIRE_RELEASE] = {0, 0, 0},
    [JOBWIRE_RUN] = {HAS_ID, 0, JOBWIRE_COMMAND_BYTES},
    [JOBWIRE_STARTED] = {HAS_OFFSETS, 0, 0},
    [JOBWIRE_ATTACHED] = {HAS_OFFSETS, 0, 0},
    [JOBWIRE_OUTPUT] = {HAS_TOTAL | HAS_STREAM, 1, JOBWIRE_OUTPUT_BYTES},
    [JOBWIRE_EXIT] = {HAS_USAGE | HAS_OFFSETS, 4, 16},
    [JOBWIRE_NOTICE] = {0, 1, JOBWIRE_TEXT_BYTES},
    [JOBWIRE_REFUSED] = {0, 4, JOBWIRE_TEXT_BYTES},
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static bool is_known(unsigned type)
{
    return (type >= JOBWIRE_START && type <= JOBWIRE_RUN) ||
           (type >= JOBWIRE_STARTED && type < LAYOUTS);
}

static size_t fixed_bytes(const struct layout *layout)
{
    return layout->number_bytes + ((layout->flags & HAS_ID) ? JOBWIRE_ID_BYTES : 0) +
           ((layout->flags & HAS_USAGE) ? USAGE_BYTES : 0) +
           ((layout->flags & HAS_OFFSETS) ? 16 : 0) + ((layout->flags & HAS_TOTAL) ? 8 : 0);
}

static char *put(char *at, uint64_t number, unsigned width)
{
    for (unsigned i = width; i > 0; i--) {
        *at++ = (char)(unsigned char)(number >> (8 * (i - 1)));
    }
    return at;
}

static uint64_t take(const char **at, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < width; i++) {
        number = number << 8 | (unsigned char)*(*at)++;
    }
    return number;
}

static char *put_usage(char *at, const struct jobwire_usage *usage)
{
    at = put(at, usage->cpu_ms, 8);
    at = put(at, usage->peak_bytes, 8);
    at = put(at, usage->limit_bytes, 8);
    at = put(at, usage->process_peak_bytes, 8);
    return put(at, usage->oom_kills, 8);
}

static struct jobwire_usage take_usage(const char **at)
{
    struct jobwire_usage usage = {.cpu_ms = take(at, 8)};
    usage.peak_bytes = take(at, 8);
    usage.limit_bytes = take(at, 8);
    usage.process_peak_bytes = take(at, 8);
    usage.oom_kills = take(at, 8);
    return usage;
}

static bool is_id(const char *id)
{
    for (size_t i = 0; i < JOBWIRE_ID_BYTES; i++) {
        if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

int jobwire_encode(const struct jobwire_frame *frame, struct buffer *out)
{
    const struct layout *layout = &layouts[frame->type];
    char head[JOBWIRE_HEADER_BYTES + 4 + JOBWIRE_ID_BYTES + USAGE_BYTES + 16];
    if (frame->length > layout->ceiling) {
        return -1;
    }
    char *at = put(head, (unsigned)frame->type, 1);
    at = put(at, fixed_bytes(layout) + frame->length, 4);
    at = put(at, frame->number, layout->number_bytes);
    if (layout->flags & HAS_ID) {
        memcpy(at, frame->id, JOBWIRE_ID_BYTES);
        at += JOBWIRE_ID_BYTES;
    }
    if (layout->flags & HAS_USAGE) {
        at = put_usage(at, &frame->usage);
    }
    if (layout->flags & (HAS_OFFSETS | HAS_TOTAL)) {
        at = put(at, frame->offsets[0], 8);
    }
    if (layout->flags & HAS_OFFSETS) {
        at = put(at, frame->offsets[1], 8);
    }
    size_t before = out->length;
    if (buffer_append(out, head, (size_t)(at - head)) < 0) {
        return -1;
    }
    if (frame->length > 0 && buffer_append(out, frame->bytes, frame->length) < 0) {
        out->length = before; /* no partial frame stays in the buffer */
        out->bytes[before] = '\0';
        return -1;
    }
    return 0;
}

void jobwire_output_header(char out[JOBWIRE_OUTPUT_HEADER_BYTES], enum jobwire_stream stream,
                           uint64_t offset, size_t length)
{
    char *at = put(out, JOBWIRE_OUTPUT, 1);
    at = put(at, 9 + length, 4);
    at = put(at, stream, 1);
    (void)put(at, offset, 8);
}

void jobwire_decoder_init(struct jobwire_decoder *decoder)
{
    *decoder = (struct jobwire_decoder){0};
    buffer_init(&decoder->pending,
                JOBWIRE_HEADER_BYTES + JOBWIRE_ID_BYTES + JOBWIRE_COMMAND_BYTES + 64);
}

void jobwire_decoder_done(struct jobwire_decoder *decoder)
{
    buffer_done(&decoder->pending);
}

static enum jobwire_result break_off(struct jobwire_decoder *decoder)
{
    decoder->broken = true;
    return JOBWIRE_BROKEN;
}

/* Moves bytes into 'pending' until it has 'wanted'. Returns whether it has. */
static bool collect(struct jobwire_decoder *decoder, const char **bytes, size_t *length,
                    size_t wanted)
{
    size_t missing = wanted > decoder->pending.length ? wanted - decoder->pending.length : 0;
    size_t part = missing < *length ? missing : *length;
    if (part > 0 && buffer_append(&decoder->pending, *bytes, part) < 0) {
        decoder->broken = true;
        return false;
    }
    *bytes += part;
    *length -= part;
    return part == missing;
}

static int parse(const struct jobwire_decoder *decoder, unsigned type, size_t payload,
                 struct jobwire_frame *out_frame)
{
    const struct layout *layout = &layouts[type];
    const char *at = decoder->pending.bytes + JOBWIRE_HEADER_BYTES;
    struct jobwire_frame frame = {.type = (enum jobwire_type)type};
    frame.number = (uint32_t)take(&at, layout->number_bytes);
    if (layout->flags & HAS_ID) {
        if (!is_id(at)) {
            return -1;
        }
        memcpy(frame.id, at, JOBWIRE_ID_BYTES);
        at += JOBWIRE_ID_BYTES;
    }
    if (layout->flags & HAS_USAGE) {
        frame.usage = take_usage(&at);
    }
    if (layout->flags & (HAS_OFFSETS | HAS_TOTAL)) {
        frame.offsets[0] = take(&at, 8);
    }
    if (layout->flags & HAS_OFFSETS) {
        frame.offsets[1] = take(&at, 8);
    }
    if ((layout->flags & HAS_STREAM) && frame.number >= JOBWIRE_STREAMS) {
        return -1;
    }
    frame.bytes = at;
    frame.length = payload - fixed_bytes(layout);
    *out_frame = frame;
    return 0;
}

/* Returns the next bytes of an OUTPUT frame without copying them. */
static enum jobwire_result next_piece(struct jobwire_decoder *decoder, const char **bytes,
                                      size_t *length, struct jobwire_frame *out_frame)
{
    size_t part = decoder->left < *length ? decoder->left : *length;
    if (part == 0 && decoder->left > 0) {
        return JOBWIRE_MORE;
    }
    *out_frame = (struct jobwire_frame){.type = JOBWIRE_OUTPUT,
                                        .number = decoder->stream,
                                        .offsets = {decoder->offset},
                                        .bytes = *bytes,
                                        .length = part};
    decoder->offset += part;
    decoder->left -= part;
    *bytes += part;
    *length -= part;
    return JOBWIRE_FRAME;
}

void jobwire_take_back(struct jobwire_decoder *decoder, size_t count, const char **bytes,
                       size_t *length)
{
    decoder->offset -= count;
    decoder->left += count;
    *bytes -= count;
    *length += count;
}

/* The fields of an OUTPUT frame are complete: its bytes are returned in pieces from here on. */
static enum jobwire_result begin_pieces(struct jobwire_decoder *decoder, size_t payload,
                                        const char **bytes, size_t *length,
                                        struct jobwire_frame *out_frame)
{
    struct jobwire_frame head;
    size_t fixed = fixed_bytes(&layouts[JOBWIRE_OUTPUT]);
    if (parse(decoder, JOBWIRE_OUTPUT, fixed, &head) < 0) {
        return break_off(decoder);
    }
    decoder->stream = (enum jobwire_stream)head.number;
    decoder->offset = head.offsets[0];
    decoder->left = payload - fixed;
    decoder->whole = true; /* 'pending' is cleared by the next call */
    return next_piece(decoder, bytes, length, out_frame);
}

enum jobwire_result jobwire_decode(struct jobwire_decoder *decoder, const char **bytes,
                                   size_t *length, struct jobwire_frame *out_frame)
{
    if (decoder->broken) {
        return JOBWIRE_BROKEN;
    }
    if (decoder->left > 0) {
        return next_piece(decoder, bytes, length, out_frame);
    }
    if (decoder->whole) {
        buffer_clear(&decoder->pending);
        decoder->whole = false;
    }
    if (!collect(decoder, bytes, length, JOBWIRE_HEADER_BYTES)) {
        return decoder->broken ? JOBWIRE_BROKEN : JOBWIRE_MORE;
    }
    const char *at = decoder->pending.bytes;
    unsigned type = (unsigned)take(&at, 1);
    size_t payload = (size_t)take(&at, 4);
    if (!is_known(type) || payload < fixed_bytes(&layouts[type]) ||
        payload - fixed_bytes(&layouts[type]) > layouts[type].ceiling) {
        return break_off(decoder);
    }
    bool pieces = decoder->pieces && type == JOBWIRE_OUTPUT;
    size_t needed = pieces ? fixed_bytes(&layouts[type]) : payload;
    if (!collect(decoder, bytes, length, JOBWIRE_HEADER_BYTES + needed)) {
        return decoder->broken ? JOBWIRE_BROKEN : JOBWIRE_MORE;
    }
    if (pieces) {
        return begin_pieces(decoder, payload, bytes, length, out_frame);
    }
    if (parse(decoder, type, payload, out_frame) < 0) {
        return break_off(decoder);
    }
    decoder->whole = true;
    return JOBWIRE_FRAME;
}
