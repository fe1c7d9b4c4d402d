/* SPDX-License-Identifier: MIT */
/*
 * scan.h - the position in a TOML document, and what every part of the parser does there: look
 * ahead, skip blanks, comments and line ends, and report errors.
 *
 * Private to the parser. The text is not owned and is valid UTF-8 once toml_scan_check() has
 * passed. Functions that can fail return -1 after filling scan->err (see toml.h for the form).
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_SCAN_H
#define BERTH_DRIVER_CONFIG_TOML_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define TOML_SCAN_END (-1)

struct toml_scan {
    const char *file;
    const char *start, *at, *end;
    unsigned line; /* of 'at', from 1 */
    char *text;    /* where the next decoded string goes; see string.h */
    struct error *err;
};

/* Fails with the position of 'where'. */
int toml_fail(struct toml_scan *scan, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "expected WANTED, found ...", at the current position. */
int toml_fail_expected(struct toml_scan *scan, const char *wanted);

/* Refuses a document that is too large, is not UTF-8 or contains NUL; skips a byte order mark. */
int toml_scan_check(struct toml_scan *scan);

/* The byte 'ahead' of the current one, or TOML_SCAN_END. */
int toml_peek(const struct toml_scan *scan, size_t ahead);
/* Skips 'byte' if it comes next. */
bool toml_take(struct toml_scan *scan, char byte);
/* Skips LF or CR LF if one comes next. */
bool toml_take_newline(struct toml_scan *scan);
void toml_skip_blanks(struct toml_scan *scan);
/* Blanks, then a comment if there is one, up to the end of the line but not over it. */
int toml_skip_comment(struct toml_scan *scan);
/* Blanks, comments and line ends. */
int toml_skip_lines(struct toml_scan *scan);
/* Whether TOML forbids the byte in comments and strings: a control character other than tab. */
bool toml_is_control(int byte);

#endif
