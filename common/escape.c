/* SPDX-License-Identifier: MIT */
#include "common/escape.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/utf8.h"

/* A line of ps has less than two KiB, an error message less than one; longer text is cut. */
#define PRINT_BYTES 4096

static bool is_shown(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x0000, 0x001f},   {0x007f, 0x009f}, {0x061c, 0x061c}, /* Arabic letter mark */
        {0x180e, 0x180e},   {0x200b, 0x200b},                   /* vowel separator, zero width */
        {0x200e, 0x200f},   {0x2028, 0x202e},                   /* bidi, separators */
        {0x2060, 0x206f},   {0xfeff, 0xfeff},                   /* joiner, isolates, mark */
        {0xfff9, 0xfffb},                                       /* interlinear annotation */
        {0xe0000, 0xe007f},                                     /* tags */
    };
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (point >= hidden[i].first && point <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

/* Writes an escape to 'out', which has room for 13 bytes. */
static size_t write_escape(char *out, uint32_t point, bool is_byte, enum escape_style style)
{
    uint32_t rest = point - 0x10000; /* for the surrogate pair of JSON */
    int length = is_byte && style == ESCAPE_TEXT ? snprintf(out, 13, "\\x%02x", point)
                 : point <= 0xffff               ? snprintf(out, 13, "\\u%04x", point)
                 : style == ESCAPE_TEXT          ? snprintf(out, 13, "\\U%08x", point)
                                        : snprintf(out, 13, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                                                   0xdc00 + (rest & 0x3ff));
    return (size_t)length;
}

size_t escape(char *out, size_t room, const char *text, size_t length, enum escape_style style)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t used = 0;
    for (size_t i = 0; i < length && room > 0;) {
        char piece[13];
        size_t run = utf8_length(bytes + i, length - i);
        uint32_t point = run == 0 ? bytes[i] : utf8_decode(bytes + i, run);
        size_t wanted = run;
        if (run == 0 || !is_shown(point)) {
            wanted = write_escape(piece, point, run <= 1, style);
        } else if (style == ESCAPE_JSON && (point == '"' || point == '\\')) {
            piece[0] = '\\';
            piece[1] = (char)point;
            wanted = 2;
        } else {
            memcpy(piece, bytes + i, run);
        }
        if (wanted >= room - used) {
            break;
        }
        memcpy(out + used, piece, wanted);
        used += wanted;
        i += run == 0 ? 1 : run;
    }
    if (room > 0) {
        out[used] = '\0';
    }
    return used;
}

void escape_print(FILE *stream, const char *format, ...)
{
    char raw[PRINT_BYTES];
    char line[PRINT_BYTES * ESCAPE_WORST];
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    size_t length = printed < 0 ? 0 : strnlen(raw, sizeof(raw));
    size_t format_length = strlen(format);
    bool ends = format_length > 0 && format[format_length - 1] == '\n';
    if (ends && (size_t)printed == length && length > 0) {
        length--; /* a line that was cut has no newline */
    }
    (void)escape(line, sizeof(line), raw, length, ESCAPE_TEXT);
    (void)fprintf(stream, ends ? "%s\n" : "%s", line);
}
