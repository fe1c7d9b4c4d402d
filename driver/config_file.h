/* SPDX-License-Identifier: MIT */
/*
 * config_file.h - the TOML file of config.h: one table of its keys. For config.c only.
 */
#ifndef BERTH_DRIVER_CONFIG_FILE_H
#define BERTH_DRIVER_CONFIG_FILE_H

#include "common/buffer.h"
#include "driver/config.h"

/* Reads 'path' over what 'config' holds; lines about unknown keys are appended to 'warnings',
 * each with its newline. A failure names file:line and key. */
int config_file_load(struct config *config, const char *path, struct buffer *warnings,
                     struct error *err) __attribute__((warn_unused_result));

/* Replaces a text that the config owns; NULL empties it. */
int config_set_text(char **field, const char *text, struct error *err)
    __attribute__((warn_unused_result));
void config_list_clear(struct config_list *list);

#endif
