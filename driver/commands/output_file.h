/* SPDX-License-Identifier: MIT */
/*
 * output_file.h - what a command writes for -o FILE: the file is replaced at once, or not at all.
 *
 * Without FILE, or for "-", the text goes to stdout. A FILE that exists and is not regular, such as
 * /dev/null, is refused: it would be replaced as well.
 */
#ifndef BERTH_DRIVER_COMMANDS_OUTPUT_FILE_H
#define BERTH_DRIVER_COMMANDS_OUTPUT_FILE_H

#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"

int output_file_write(const char *path, mode_t mode, const struct buffer *text, struct error *err)
    __attribute__((warn_unused_result));

#endif
