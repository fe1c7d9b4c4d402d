/* SPDX-License-Identifier: MIT */
/*
 * toml_string.h - the four kinds of TOML strings, and bare keys.
 *
 * Private to the parser. Decoded text goes to scan->text, which is moved on. That one block needs
 * no more than the document's length and one byte: quotes or a delimiter pay for the closing NUL,
 * and no escape is shorter than what it stands for.
 */
#ifndef BERTH_DRIVER_TOML_STRING_H
#define BERTH_DRIVER_TOML_STRING_H

#include "driver/toml_scan.h"
#include "driver/toml_tree.h"

/* A value that starts at a quote. */
int toml_read_string(struct toml_scan *scan, struct toml_text *out_text);
/* One part of a key: bare, or quoted on one line. */
int toml_read_key(struct toml_scan *scan, struct toml_text *out_key);

#endif
