/* SPDX-License-Identifier: MIT */
/*
 * ini.h - AWS's shared config and credentials files, as botocore reads them (Python's
 * configparser): sections in brackets, "key = value" (or ':'), whole-line comments with '#' or ';'.
 * A line that is indented more than the key above it continues its value; a value that begins so is
 * a list of settings of its own, as in a [services] section. Keys of [DEFAULT] hold in every
 * section.
 *
 * Keys are matched in lower case, sections exactly, blanks included. What botocore refuses is an
 * error of kind ERROR_USAGE with file and line: any other line, a duplicate section or key.
 * ini_free() wipes the text, which contains credentials, and accepts NULL; what the other functions
 * return is valid until then.
 */
#ifndef BERTH_DRIVER_AWS_INI_H
#define BERTH_DRIVER_AWS_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define INI_TEXT_CEILING_BYTES (1UL << 20)
#define INI_ENTRY_CEILING      10000

struct ini;

/* 'name' is the file's, for messages. */
struct ini *ini_parse(const char *name, const char *text, size_t length, struct error *err);
void ini_free(struct ini *ini);

/* NULL: not set. */
const char *ini_get(const struct ini *ini, const char *section, const char *key);
bool ini_has_section(const struct ini *ini, const char *section);
/* In the order of the file; NULL after the last. */
const char *ini_section(const struct ini *ini, size_t index);

/* Copies the value of the last "KEY = VALUE" line of a value that is a list of settings to 'out'.
 * False: not found, or too long. */
bool ini_nested(const char *value, const char *key, char *out, size_t size);

#endif
