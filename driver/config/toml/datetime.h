/* SPDX-License-Identifier: MIT */
/*
 * datetime.h - dates and times (RFC 3339 section 5.6, and its parts alone as local ones).
 *
 * Private to the parser.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_DATETIME_H
#define BERTH_DRIVER_CONFIG_TOML_DATETIME_H

#include "driver/config/toml/scan.h"
#include "driver/config/toml/tree.h"

/* Whether a token that begins with these bytes is a date or a time, not a number. */
bool toml_looks_like_date(const char *bytes, size_t length);
bool toml_looks_like_time(const char *bytes, size_t length);

/* 'token' is the whole text of the value and lies in the document. Fills type and value. */
int toml_read_datetime(struct toml_scan *scan, const struct toml_text *token,
                       struct toml_value *value);

#endif
