/* SPDX-License-Identifier: MIT */
#include "driver/schedule/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "driver/schedule/posix_rule.h"

#define HEADER_BYTES 44
#define TYPE_BYTES   6
#define TYPE_CEILING 256
#define FOOTER_BYTES 128

struct zone {
    struct posix_rule rule;
    bool has_rule; /* for times after the last change */
    int32_t first; /* the offset before the first change */
    size_t count;
    struct change {
        int64_t at_s;
        int32_t offset;
    } changes[]; /* ascending */
};

/* One of the two data blocks of a file: counts of the header, in its order. */
struct block {
    uint32_t isutc, isstd, leap, time, type, chars;
    size_t time_bytes; /* 4 or 8 */
    const unsigned char *body;
    size_t length;
};

bool zone_name_is_valid(const char *name)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-./";
    size_t length = strlen(name);
    if (length == 0 || length >= ZONE_NAME_BYTES || name[strspn(name, plain)] != '\0' ||
        name[length - 1] == '/') {
        return false;
    }
    for (const char *part = name; part != NULL;) {
        if (part[0] == '.' || part[0] == '/') {
            return false;
        }
        const char *slash = strchr(part, '/');
        part = slash == NULL ? NULL : slash + 1;
    }
    return true;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t read_time(const unsigned char *at, size_t bytes)
{
    if (bytes == 4) {
        return (int32_t)big_endian(at);
    }
    return (int64_t)((uint64_t)big_endian(at) << 32 | big_endian(at + 4));
}

static int damaged(const char *what, struct error *err)
{
    return error_set(err, ERROR_SYSTEM, 0, "not a usable time zone file: %s", what);
}

/* Reads the header at 'bytes' and checks that its block lies within 'length'. */
static int read_block(const unsigned char *bytes, size_t length, size_t time_bytes,
                      struct block *out, struct error *err)
{
    if (length < HEADER_BYTES || memcmp(bytes, "TZif", 4) != 0) {
        return damaged("no TZif header", err);
    }
    *out = (struct block){
        .isutc = big_endian(bytes + 20),
        .isstd = big_endian(bytes + 24),
        .leap = big_endian(bytes + 28),
        .time = big_endian(bytes + 32),
        .type = big_endian(bytes + 36),
        .chars = big_endian(bytes + 40),
        .time_bytes = time_bytes,
        .body = bytes + HEADER_BYTES,
    };
    const uint32_t counts[] = {out->isutc, out->isstd, out->leap, out->time, out->type, out->chars};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (counts[i] > ZONE_FILE_CEILING_BYTES) {
            return damaged("a count is too large", err);
        }
    }
    out->length = out->time * (time_bytes + 1) + (size_t)out->type * TYPE_BYTES + out->chars +
                  out->leap * (time_bytes + 4) + out->isstd + out->isutc;
    if (out->length > length - HEADER_BYTES) {
        return damaged("it is cut off", err);
    }
    if (out->type == 0 || out->type > TYPE_CEILING) {
        return damaged("it has no types of local time", err);
    }
    return out->leap == 0 ? 0 : damaged("it counts leap seconds", err);
}

static int read_changes(const struct block *block, struct zone *zone, struct error *err)
{
    const unsigned char *indexes = block->body + block->time * block->time_bytes;
    const unsigned char *types = indexes + block->time;
    int32_t offsets[TYPE_CEILING] = {0};
    for (size_t i = 0; i < block->type; i++) {
        offsets[i] = (int32_t)big_endian(types + i * TYPE_BYTES);
        if (offsets[i] <= -ZONE_OFFSET_CEILING_S || offsets[i] >= ZONE_OFFSET_CEILING_S) {
            return damaged("an offset is out of range", err);
        }
    }
    zone->first = offsets[0];
    for (size_t i = 0; i < block->time; i++) {
        int64_t at_s = read_time(block->body + i * block->time_bytes, block->time_bytes);
        if (indexes[i] >= block->type || (i > 0 && at_s <= zone->changes[i - 1].at_s)) {
            return damaged("its changes are not in order", err);
        }
        zone->changes[i].at_s = at_s;
        zone->changes[i].offset = offsets[indexes[i]];
    }
    zone->count = block->time;
    return 0;
}

/* "\nRULE\n" behind the second block; an empty rule: none is known. */
static int read_footer(const unsigned char *bytes, size_t length, struct zone *zone,
                       struct error *err)
{
    char text[FOOTER_BYTES];
    const unsigned char *end =
        length > 1 && bytes[0] == '\n' ? memchr(bytes + 1, '\n', length - 1) : NULL;
    size_t size = end == NULL ? 0 : (size_t)(end - bytes) - 1;
    if (end == NULL || size >= sizeof(text) || memchr(bytes, '\0', size + 1) != NULL) {
        return damaged("its footer is cut off", err);
    }
    memcpy(text, bytes + 1, size);
    text[size] = '\0';
    zone->has_rule = size > 0;
    return size == 0 || posix_rule_parse(text, &zone->rule) == 0
               ? 0
               : damaged("its footer is not a rule", err);
}

int zone_parse(const unsigned char *bytes, size_t length, struct zone **out_zone, struct error *err)
{
    struct block block = {.body = NULL};
    size_t skip = 0;
    bool has_footer = false;
    if (read_block(bytes, length, 4, &block, err) < 0) {
        return -1;
    }
    if (bytes[4] >= '2') { /* a second block with 64 bits for each time */
        skip = HEADER_BYTES + block.length;
        has_footer = true;
        if (read_block(bytes + skip, length - skip, 8, &block, err) < 0) {
            return -1;
        }
    }
    struct zone *zone = calloc(1, sizeof(*zone) + block.time * sizeof(zone->changes[0]));
    if (zone == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the time zone");
    }
    skip += HEADER_BYTES + block.length;
    if (read_changes(&block, zone, err) < 0 ||
        (has_footer && read_footer(bytes + skip, length - skip, zone, err) < 0)) {
        free(zone);
        return -1;
    }
    *out_zone = zone;
    return 0;
}

static int load_file(const char *directory, const char *name, struct zone **out_zone,
                     struct error *err)
{
    char path[512];
    struct buffer text;
    int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (length < 0 || length >= (int)sizeof(path)) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "the time zone '%s'", name);
    }
    buffer_init(&text, ZONE_FILE_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result == 0) {
        result = zone_parse((const unsigned char *)text.bytes, text.length, out_zone, err);
        result = result < 0 ? error_wrap(err, "'%s'", path) : 0;
    } else {
        (void)error_wrap(err, "the time zone '%s'", name);
        (void)error_hint(err, "check its spelling, and that the package tzdata is installed; the "
                              "zone UTC needs no files");
    }
    buffer_done(&text);
    if (result < 0 && err != NULL) {
        err->kind = ERROR_USAGE;
    }
    return result;
}

int zone_load(const char *directory, const char *name, struct zone **out_zone, struct error *err)
{
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0) {
        *out_zone = calloc(1, sizeof(**out_zone));
        return *out_zone != NULL
                   ? 0
                   : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the time zone");
    }
    if (!zone_name_is_valid(name)) {
        return error_set(err, ERROR_USAGE, 0, "'%.80s' is not the name of a time zone", name);
    }
    return load_file(directory == NULL ? ZONE_DIRECTORY : directory, name, out_zone, err);
}

void zone_free(struct zone *zone)
{
    free(zone);
}

int32_t zone_offset(const struct zone *zone, int64_t time_s, int64_t *out_until_s)
{
    size_t low = 0, high = zone->count; /* the first change after 'time_s' */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= time_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < zone->count) {
        *out_until_s = zone->changes[low].at_s;
        return low == 0 ? zone->first : zone->changes[low - 1].offset;
    }
    if (zone->has_rule) {
        return posix_rule_offset(&zone->rule, time_s, out_until_s);
    }
    *out_until_s = INT64_MAX;
    return low == 0 ? zone->first : zone->changes[low - 1].offset;
}

int64_t zone_moment(const struct zone *zone, int64_t local_s)
{
    int64_t from_s = local_s - ZONE_OFFSET_CEILING_S;
    for (;;) { /* no clock is more than the ceiling behind: the loop ends there at the latest */
        int64_t until_s = 0;
        int32_t offset = zone_offset(zone, from_s, &until_s);
        int64_t moment = local_s - offset < from_s ? from_s : local_s - offset;
        if (moment < until_s) {
            return moment;
        }
        from_s = until_s;
    }
}
