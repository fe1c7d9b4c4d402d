/* SPDX-License-Identifier: MIT */
/*
 * config_file.h - reads the TOML file of config.h by the table of schema.h.
 */
#ifndef BERTH_DRIVER_CONFIG_CONFIG_FILE_H
#define BERTH_DRIVER_CONFIG_CONFIG_FILE_H

#include "driver/config/config.h"

/* Reads 'path' over the values in 'config' and appends warnings to its 'unknown' and 'notes'. A
 * failure names file:line and key. */
int config_file_load(struct config *config, const char *path, struct error *err)
    __attribute__((warn_unused_result));

/* Stores the default of each key that has one. */
int config_defaults_load(struct config *config, struct error *err)
    __attribute__((warn_unused_result));

#endif
