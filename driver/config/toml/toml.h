/* SPDX-License-Identifier: MIT */
/*
 * toml.h - reads a TOML 1.0.0 document (https://toml.io/en/v1.0.0) into a tree.
 *
 * The root is a table; a table's entries and an array's elements are chained in the order of the
 * document. An entry is its value: one struct toml_value carries key, line and value.
 *
 * Ownership: the document owns every value, key and string; toml_free() releases all of it and
 * takes NULL. Nothing points into the parsed text, which may be freed first.
 * Ceilings: TOML_DOCUMENT_BYTES and TOML_DEPTH below.
 * Errors: kind ERROR_USAGE, "FILE:LINE:COLUMN: what was wrong"; lines and columns count from 1,
 * columns in characters, not bytes. Without memory: ERROR_SYSTEM. Getters return
 * whether the value has their type, and leave their outputs untouched if not.
 *
 * Strings and keys are valid UTF-8 and end in a NUL, which is not part of their length. They may
 * contain NUL ("\u0000"). Runs in the driver, without any privilege.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_TOML_H
#define BERTH_DRIVER_CONFIG_TOML_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Configuration is a few KiB; the tree takes up to about 50 times the size of the text. */
#define TOML_DOCUMENT_BYTES (1024 * 1024)
/* How deep tables and arrays may be nested, the root not counted; bounds the recursion of the
 * parser and of code that walks a tree. */
#define TOML_DEPTH 64

enum toml_type {
    TOML_TABLE,
    TOML_ARRAY,
    TOML_STRING,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOL,
    TOML_OFFSET_DATETIME,
    TOML_LOCAL_DATETIME,
    TOML_LOCAL_DATE,
    TOML_LOCAL_TIME,
};

/* Fields that the type does not have are 0. */
struct toml_datetime {
    int year, month, day;     /* 0 to 9999, 1 to 12, 1 to 31 */
    int hour, minute, second; /* second 60: a leap second */
    int nanosecond;           /* finer digits are cut off */
    int offset_minutes;       /* east of UTC */
};

struct toml_document;
struct toml_value;

/* 'text' need not end in a NUL and may be NULL when length is 0; 'file' only names the document in
 * error messages. */
int toml_parse(const char *file, const char *text, size_t length,
               struct toml_document **out_document, struct error *err)
    __attribute__((warn_unused_result));
void toml_free(struct toml_document *document);

const struct toml_value *toml_root(const struct toml_document *document);

enum toml_type toml_type(const struct toml_value *value);
/* With its article, for messages: "a table", "an integer". */
const char *toml_type_name(enum toml_type type);
/* Line of the key, of the element or of the table's header. The root has line 1. */
unsigned toml_line(const struct toml_value *value);

/* The first child of a table or array, NULL when it is empty or has no children by type; then the
 * next one of the same parent. */
const struct toml_value *toml_first(const struct toml_value *container);
const struct toml_value *toml_next(const struct toml_value *value);
/* NULL for the root and for elements of arrays. */
const char *toml_key(const struct toml_value *value);

/* With out_length NULL, a string that contains NUL is refused, since a caller without the length
 * would see only a part of it. */
bool toml_get_string(const struct toml_value *value, const char **out_text, size_t *out_length);
bool toml_get_integer(const struct toml_value *value, int64_t *out_integer);
bool toml_get_float(const struct toml_value *value, double *out_number);
bool toml_get_bool(const struct toml_value *value, bool *out_truth);
/* Any of the four date and time types; toml_type() returns which. No key of
 * Berth has one: exported for its unit test and for toml-test. */
bool toml_get_datetime(const struct toml_value *value, struct toml_datetime *out_datetime);

static inline void cleanup_toml_fn(struct toml_document **document)
{
    toml_free(*document);
}

#define cleanup_toml __attribute__((cleanup(cleanup_toml_fn)))

#endif
