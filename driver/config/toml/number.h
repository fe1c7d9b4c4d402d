/* SPDX-License-Identifier: MIT */
/*
 * number.h - integers and floats.
 *
 * Private to the parser.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_NUMBER_H
#define BERTH_DRIVER_CONFIG_TOML_NUMBER_H

#include "driver/config/toml/scan.h"
#include "driver/config/toml/tree.h"

/* 'token' is the whole text of the value and lies in the document. Fills type and value. */
int toml_read_number(struct toml_scan *scan, const struct toml_text *token,
                     struct toml_value *value);

#endif
