/* SPDX-License-Identifier: MIT */
/*
 * ini.h - AWS's shared config and credentials files, as botocore reads them: sections in brackets,
 * "key = value" (or ':'), whole-line comments with '#' or ';', and indented lines that continue a
 * value, which is how the nested settings of a [services] section are written.
 *
 * Keys are matched in lower case, sections exactly. A line that is none of these is an error of
 * kind ERROR_USAGE that names file and line; so is a key that stands twice. ini_free() wipes the
 * text, since credentials are in it, and accepts NULL; what ini_get() returns lives until then.
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

/* NULL when there is none. A section that stands twice is one. */
const char *ini_get(const struct ini *ini, const char *section, const char *key);
bool ini_has_section(const struct ini *ini, const char *section);

/* The value of "KEY = VALUE" in one of the lines of a continued value: copied to 'out'. Returns
 * whether it was there and fitted. */
bool ini_nested(const char *value, const char *key, char *out, size_t size);

#endif
