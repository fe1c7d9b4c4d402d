/* SPDX-License-Identifier: MIT */
/*
 * log_lines.h - prints the lines of a log from outside, escaped, or quotes its end in warnings.
 */
#ifndef BERTH_DRIVER_BACKEND_LOG_LINES_H
#define BERTH_DRIVER_BACKEND_LOG_LINES_H

#include <stddef.h>
#include <stdio.h>

#define LOG_LINES_TAIL 50 /* lines of a quote */

void log_lines_print(FILE *out, const char *text, size_t length);

/* Logs the last lines of 'text', which may be NULL, one warning each; changes it. */
void log_lines_warn(char *text);

#endif
