/* SPDX-License-Identifier: MIT */
/*
 * time_text.h - dates as AWS and registries write them: RFC 3339, "2026-01-02T03:04:05Z", with
 * fractions of a second and offsets too. The results are Unix time; what is smaller than their unit
 * is cut off. -1 for anything else.
 */
#ifndef BERTH_DRIVER_BASE_TIME_TEXT_H
#define BERTH_DRIVER_BASE_TIME_TEXT_H

#include <stdint.h>
#include <time.h>

int time_text_parse(const char *text, struct timespec *out) __attribute__((warn_unused_result));
int time_text_parse_s(const char *text, int64_t *out_s) __attribute__((warn_unused_result));
int time_text_parse_ms(const char *text, int64_t *out_ms) __attribute__((warn_unused_result));

#endif
