/* SPDX-License-Identifier: MIT */
/*
 * schema.h - the keys of the configuration file: one row per key.
 *
 * The loader reads the file by this table, config_done() frees by it, 'berth-driver init' takes its
 * comments from it, and 'berth-driver help config' and docs/reference.md print it. Rows of one
 * section stand together; the root comes first.
 */
#ifndef BERTH_DRIVER_CONFIG_SCHEMA_H
#define BERTH_DRIVER_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/parse.h"

enum schema_type {
    SCHEMA_TEXT,     /* char * */
    SCHEMA_CHOICE,   /* char *, one of 'choices' */
    SCHEMA_BOOL,     /* bool */
    SCHEMA_TRISTATE, /* enum config_tristate */
    SCHEMA_INTEGER,  /* int64_t */
    SCHEMA_NUMBER,   /* double, not negative */
    SCHEMA_DURATION, /* int64_t, milliseconds: "30s" or whole seconds */
    SCHEMA_SIZE,     /* int64_t, bytes: "512MiB" or a number of bytes */
    SCHEMA_CPUS,     /* int64_t, billionths of a processor: 2, 1.5 or "1.5" */
    SCHEMA_LIST,     /* struct config_list: a string or an array of strings */
    SCHEMA_PATTERNS, /* the same, each entry a pattern (pattern.h) */
    SCHEMA_IMAGES,   /* the same, of image names */
    SCHEMA_LEVEL,    /* enum log_level */
    SCHEMA_FORMAT,   /* enum log_format */
    SCHEMA_SCHEDULE, /* struct schedule: a table of text to whole number */
    SCHEMA_IGNORED,  /* accepted without effect; 'unset' says why */
};

struct schema_row {
    const char *section; /* NULL: the root */
    const char *name;
    enum schema_type type;
    size_t offset; /* of the field in struct config, or in an entry (schema_is_entry()) */
    int64_t minimum, maximum; /* of integers, milliseconds, bytes, or a list's length */
    const char *initial;      /* the default as the file would have it; NULL: none */
    const char *unset;        /* in words, what an unset key means; NULL: nothing to say */
    const char *meaning;      /* one sentence */
    const char *choices;      /* "a|b" of SCHEMA_CHOICE */
};

extern const struct schema_row schema_rows[];
extern const size_t schema_count;

/* The row of a key, in any case; NULL: there is none. 'section' as rows spell it. */
const struct schema_row *schema_find(const char *section, const char *name);

bool schema_same_section(const char *a, const char *b);

/* Whether the section is an array of tables, [[Warm]]: its rows fill a struct config_warm each. */
bool schema_is_entry(const struct schema_row *row);

/* A number of an integer, duration or size as the file would have it: "100", "60s", "6MiB". */
void schema_write_number(const struct schema_row *row, int64_t number, char out[PARSE_TEXT_BYTES]);

/* All keys with type, default and meaning, in at most 80 columns. */
void schema_print(FILE *out);

#endif
