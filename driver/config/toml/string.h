/* SPDX-License-Identifier: MIT */
/*
 * string.h - the four kinds of TOML strings, and bare keys.
 *
 * Private to the parser. Decoded text goes to scan->text, which then points behind it. That block
 * is as long as the document and one byte: quotes or a delimiter make room for the closing NUL, and
 * no escape is shorter than the character it encodes.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_STRING_H
#define BERTH_DRIVER_CONFIG_TOML_STRING_H

#include "driver/config/toml/scan.h"
#include "driver/config/toml/tree.h"

/* A value that starts at a quote. */
int toml_read_string(struct toml_scan *scan, struct toml_text *out_text);
/* One part of a key: bare, or quoted on one line. */
int toml_read_key(struct toml_scan *scan, struct toml_text *out_key);

#endif
