/* SPDX-License-Identifier: MIT */
/*
 * parse.h - parses numbers, durations and sizes, and writes durations and sizes.
 *
 * Strict: the whole text must be the value; no octal, no silent overflow. Returns -1 and leaves the
 * output unchanged if the text is not valid or out of range.
 */
#ifndef BERTH_COMMON_PARSE_H
#define BERTH_COMMON_PARSE_H

#include <stdint.h>

/* Decimal integer from minimum to maximum. */
int parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *out_value)
    __attribute__((warn_unused_result));

/* "1500ms", "30s", "5m", "2h", "1d" or a bare number of seconds, to milliseconds. */
int parse_duration_ms(const char *text, int64_t *out_ms) __attribute__((warn_unused_result));

/* "65536", "64k", "64M", "2G" (powers of 1024; "KiB" and "kB" spellings too), to bytes. */
int parse_size_bytes(const char *text, int64_t *out_bytes) __attribute__((warn_unused_result));

/* "24h", "60s" or "500ms"; "6MiB" or "1000 bytes": for messages about ranges. */
#define PARSE_TEXT_BYTES 32
void duration_text(int64_t ms, char out[PARSE_TEXT_BYTES]);
void size_text(int64_t bytes, char out[PARSE_TEXT_BYTES]);

#endif
