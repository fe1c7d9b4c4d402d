/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "driver/config/toml/toml.h"

struct position {
    unsigned line, column;
};

/* Counted only for an error, so that reading need not track columns. Continuation bytes
 * do not count: columns are characters. */
static struct position position_of(const struct toml_scan *scan, const char *where)
{
    struct position position = {1, 1};
    for (const char *at = scan->start; at < where; at++) {
        if (*at == '\n') {
            position.line++;
            position.column = 1;
        } else if (((unsigned char)*at & 0xC0) != 0x80) {
            position.column++;
        }
    }
    return position;
}

int toml_fail(struct toml_scan *scan, const char *where, const char *format, ...)
{
    char what[ERROR_MESSAGE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    struct position position = position_of(scan, where);
    return error_set(scan->err, ERROR_USAGE, 0, "%s:%u:%u: %s", scan->file, position.line,
                     position.column, what);
}

int toml_fail_expected(struct toml_scan *scan, const char *wanted)
{
    int byte = toml_peek(scan, 0);
    if (byte == TOML_SCAN_END) {
        return toml_fail(scan, scan->at, "expected %s, found the end of the file", wanted);
    }
    if (byte == '\n' || (byte == '\r' && toml_peek(scan, 1) == '\n')) {
        return toml_fail(scan, scan->at, "expected %s, found the end of the line", wanted);
    }
    if (toml_is_control(byte)) {
        return toml_fail(scan, scan->at, "expected %s, found the control character 0x%02x", wanted,
                         (unsigned)byte);
    }
    size_t left = (size_t)(scan->end - scan->at);
    int length = (int)utf8_length((const unsigned char *)scan->at, left);
    return toml_fail(scan, scan->at, "expected %s, found '%.*s'", wanted, length, scan->at);
}

static int check_bytes(struct toml_scan *scan)
{
    for (const char *at = scan->start; at < scan->end;) {
        if (*at == '\0') {
            return toml_fail(scan, at, "the document holds a NUL byte");
        }
        size_t length = utf8_length((const unsigned char *)at, (size_t)(scan->end - at));
        if (length == 0) {
            return toml_fail(scan, at, "the document is not valid UTF-8 here");
        }
        at += length;
    }
    return 0;
}

int toml_scan_check(struct toml_scan *scan)
{
    static const char mark[] = "\xEF\xBB\xBF";
    if (scan->end - scan->start > TOML_DOCUMENT_BYTES) {
        return toml_fail(scan, scan->start, "the document is larger than %d bytes",
                         TOML_DOCUMENT_BYTES);
    }
    if (check_bytes(scan) < 0) {
        return -1;
    }
    size_t length = sizeof(mark) - 1;
    if ((size_t)(scan->end - scan->at) >= length && memcmp(scan->at, mark, length) == 0) {
        scan->start += length; /* not a column of the first line */
        scan->at = scan->start;
    }
    return 0;
}

int toml_peek(const struct toml_scan *scan, size_t ahead)
{
    return (size_t)(scan->end - scan->at) > ahead ? (unsigned char)scan->at[ahead] : TOML_SCAN_END;
}

bool toml_take(struct toml_scan *scan, char byte)
{
    if (scan->at == scan->end || *scan->at != byte) {
        return false;
    }
    scan->at++;
    return true;
}

bool toml_take_newline(struct toml_scan *scan)
{
    size_t length = toml_peek(scan, 0) == '\r' ? 2 : 1;
    if (toml_peek(scan, length - 1) != '\n') {
        return false;
    }
    scan->at += length;
    scan->line++;
    return true;
}

bool toml_is_control(int byte)
{
    return (byte >= 0 && byte < ' ' && byte != '\t') || byte == 0x7F;
}

void toml_skip_blanks(struct toml_scan *scan)
{
    while (toml_take(scan, ' ') || toml_take(scan, '\t')) {
    }
}

int toml_skip_comment(struct toml_scan *scan)
{
    toml_skip_blanks(scan);
    if (!toml_take(scan, '#')) {
        return 0;
    }
    while (scan->at < scan->end && !toml_is_control((unsigned char)*scan->at)) {
        scan->at++;
    }
    int byte = toml_peek(scan, 0);
    if (byte == TOML_SCAN_END || byte == '\n' || (byte == '\r' && toml_peek(scan, 1) == '\n')) {
        return 0;
    }
    return toml_fail(scan, scan->at, "control character 0x%02x in a comment", (unsigned)byte);
}

int toml_skip_lines(struct toml_scan *scan)
{
    do {
        if (toml_skip_comment(scan) < 0) {
            return -1;
        }
    } while (toml_take_newline(scan));
    return 0;
}
