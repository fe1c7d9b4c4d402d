/* SPDX-License-Identifier: MIT */
/*
 * escape.h - makes text from outside safe to print in log lines, tables and messages: it can
 * neither break a line nor control a terminal.
 *
 * Escapes control characters (C0, DEL, C1), bytes that are not UTF-8, line and paragraph
 * separators, and invisible characters that change the order or look of others (bidirectional
 * controls such as U+202E, zero-width space, tags). Keeps the joiners of Indic scripts, Persian and
 * emoji. Cannot fail.
 */
#ifndef BERTH_COMMON_ESCAPE_H
#define BERTH_COMMON_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

enum escape_style {
    ESCAPE_TEXT, /* \x1b for a byte, \u202e for a character */
    ESCAPE_JSON, /* for a JSON string */
};

#define ESCAPE_WORST 6 /* bytes for one byte of text, at most */

/* Writes the first 'length' bytes of 'text' and a NUL to 'out', cut between two characters if
 * 'room' is too small. Returns the bytes written, without the NUL. */
size_t escape(char *out, size_t room, const char *text, size_t length, enum escape_style style);

/* As fprintf() for one line: escapes everything but a newline at the end of 'format'. */
void escape_print(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
