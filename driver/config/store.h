/* SPDX-License-Identifier: MIT */
/*
 * store.h - stores one value of a TOML file in the field that its row of schema.h names.
 *
 * Private to config_file.c. Texts are copied; the struct config owns them.
 */
#ifndef BERTH_DRIVER_CONFIG_STORE_H
#define BERTH_DRIVER_CONFIG_STORE_H

#include "driver/config/config.h"
#include "driver/config/schema.h"
#include "driver/config/toml/toml.h"

/* One file that is being read into one config. */
struct config_reading {
    const char *path;
    struct config *config;
    void *base; /* what the rows of this table fill: 'config', or an entry of [[Warm]] */
    struct error *err;
};

/* A wrong type or value is ERROR_USAGE with file, line and key. */
int config_store(const struct config_reading *reading, const struct schema_row *row,
                 const struct toml_value *value) __attribute__((warn_unused_result));

/* Adds a note for config_each_note(), about the line of 'value'. */
void config_note(const struct config_reading *reading, struct buffer *notes,
                 const struct toml_value *value, const char *section, const char *key,
                 const char *what, const char *hint);

#endif
