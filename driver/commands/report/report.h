/* SPDX-License-Identifier: MIT */
/*
 * report.h - the data of 'berth-driver report': one JSON object inside a script element.
 *
 * Texts occur once, in 'texts'; each job is an array of numbers, of which some are indices there.
 * Besides what JSON needs, <, >, & and U+2028, U+2029 are escaped, so that no text can end the
 * element or begin another. Functions return -1 without memory.
 */
#ifndef BERTH_DRIVER_COMMANDS_REPORT_REPORT_H
#define BERTH_DRIVER_COMMANDS_REPORT_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "driver/history/history.h"

#define REPORT_TIMELINE 200 /* jobs with ref and URL */

struct report_scope {
    int64_t now_s, since_s; /* 0: from the beginning */
    const char *currency, *version;
};

int report_data(const struct history *history, const struct report_scope *scope, struct buffer *out)
    __attribute__((warn_unused_result));

/* The page with data and policy. */
int report_page(const struct buffer *data, struct buffer *out) __attribute__((warn_unused_result));

#endif
