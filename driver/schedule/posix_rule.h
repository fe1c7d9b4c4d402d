/* SPDX-License-Identifier: MIT */
/*
 * posix_rule.h - the rule in the footer of a TZif file, such as "EST5EDT,M3.2.0,M11.1.0".
 *
 * The form is that of the TZ variable of POSIX (XBD 8.3) with the extension of RFC 9636 section
 * 3.3.1: hours from -167 to 167. Pure: the struct is the caller's, nothing is allocated. Times are
 * Unix seconds, offsets seconds east of UTC (the text has them west).
 */
#ifndef BERTH_DRIVER_SCHEDULE_POSIX_RULE_H
#define BERTH_DRIVER_SCHEDULE_POSIX_RULE_H

#include <stdbool.h>
#include <stdint.h>

/* A day of the year and a time on it. */
struct posix_date {
    enum { POSIX_JULIAN, POSIX_DAY, POSIX_WEEKDAY } form; /* Jn, n, Mm.w.d */
    int month, week, day;
    int32_t time_s;
};

struct posix_rule {
    int32_t standard_s, summer_s;
    bool has_summer;
    struct posix_date start, end; /* of summer time */
};

/* Returns -1 if the text is not a rule. */
int posix_rule_parse(const char *text, struct posix_rule *out_rule)
    __attribute__((warn_unused_result));

/* The offset at 'time_s', and when it next changes; INT64_MAX: never. */
int32_t posix_rule_offset(const struct posix_rule *rule, int64_t time_s, int64_t *out_until_s);

#endif
