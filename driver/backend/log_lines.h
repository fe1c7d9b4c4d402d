/* SPDX-License-Identifier: MIT */
/*
 * log_lines.h - prints the lines of a log from outside, escaped.
 */
#ifndef BERTH_DRIVER_BACKEND_LOG_LINES_H
#define BERTH_DRIVER_BACKEND_LOG_LINES_H

#include <stddef.h>
#include <stdio.h>

void log_lines_print(FILE *out, const char *text, size_t length);

#endif
