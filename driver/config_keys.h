/* SPDX-License-Identifier: MIT */
/*
 * config_keys.h - the keys of the configuration file: where each stands, what it may be, and which
 * field of struct config it fills. For config_file.c only, which reads the file by this table; a
 * test compares README's table with it.
 */
#ifndef BERTH_DRIVER_CONFIG_KEYS_H
#define BERTH_DRIVER_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum key_type {
    KEY_TEXT,     /* char * */
    KEY_BOOL,     /* bool */
    KEY_TRISTATE, /* enum config_tristate */
    KEY_INTEGER,  /* int64_t */
    KEY_NUMBER,   /* double, not negative */
    KEY_DURATION, /* int64_t, milliseconds: "30s" or whole seconds */
    KEY_SIZE,     /* int64_t, bytes: "512MiB" or a number of bytes */
    KEY_CPUS,     /* int64_t, billionths of a processor: 2, 1.5 or "1.5" */
    KEY_LIST,     /* struct config_list: a string or an array of strings */
    KEY_LEVEL,    /* enum log_level */
    KEY_FORMAT,   /* enum log_format */
    KEY_IGNORED,  /* known, and without effect: 'why' says so */
};

struct key_row {
    const char *table; /* NULL: the root */
    const char *name;
    enum key_type type;
    size_t offset;
    int64_t minimum, maximum; /* of integers, milliseconds, or a list's length */
    const char *why;
};

extern const struct key_row config_keys[];
extern const size_t config_key_count;

#endif
