/* SPDX-License-Identifier: MIT */
#include "driver/schedule/posix_rule.h"

#include <ctype.h>
#include <string.h>

#define DAY_S         86400
#define HOUR_S        3600
#define CHANGE_S      (2 * HOUR_S) /* of a date without a time */
#define OFFSET_HOURS  24
#define TIME_HOURS    167
#define YEARS_CEILING 1000000000LL

/* Days from 1970-01-01 to the first of a month of the Gregorian calendar; months from 1. */
static int64_t first_of(int64_t year, int month)
{
    /* Years begin in March, so that a leap day is a year's last; eras have 400 years. */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The year of a day. */
static int64_t year_of(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    return years + era * 400 + (of_year >= 306 ? 1 : 0);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Weekday of a day, Sunday is 0. */
static int weekday(int64_t days)
{
    return (int)((days % 7 + 7 + 4) % 7);
}

/* Digits up to 'maximum'. */
static bool take_number(const char **at, int maximum, int *out_number)
{
    int number = 0;
    const char *start = *at;
    while (isdigit((unsigned char)**at) && number <= maximum) {
        number = number * 10 + (**at - '0');
        (*at)++;
    }
    *out_number = number;
    return *at != start && number <= maximum;
}

static bool take(const char **at, char byte)
{
    bool there = **at == byte;
    *at += there ? 1 : 0;
    return there;
}

/* "[+-]H[:M[:S]]" in seconds. */
static bool take_time(const char **at, int hours, int32_t *out_s)
{
    int h = 0, m = 0, s = 0;
    bool negative = **at == '-';
    if (negative || **at == '+') {
        (*at)++;
    }
    if (!take_number(at, hours, &h)) {
        return false;
    }
    if (take(at, ':') &&
        (!take_number(at, 59, &m) || (take(at, ':') && !take_number(at, 59, &s)))) {
        return false;
    }
    *out_s = (h * HOUR_S + m * 60 + s) * (negative ? -1 : 1);
    return true;
}

/* "EST" or "<+03>"; the name itself does not matter. */
static bool take_name(const char **at)
{
    const char *start = *at;
    if (take(at, '<')) {
        *at += strcspn(*at, ">");
        return take(at, '>') && *at - start > 2;
    }
    while (isalpha((unsigned char)**at)) {
        (*at)++;
    }
    return *at - start >= 3;
}

static bool take_date(const char **at, struct posix_date *date)
{
    *date = (struct posix_date){.time_s = CHANGE_S};
    if (take(at, 'J')) {
        date->form = POSIX_JULIAN;
        if (!take_number(at, 365, &date->day) || date->day == 0) {
            return false;
        }
    } else if (take(at, 'M')) {
        date->form = POSIX_WEEKDAY;
        if (!take_number(at, 12, &date->month) || date->month == 0 || !take(at, '.') ||
            !take_number(at, 5, &date->week) || date->week == 0 || !take(at, '.') ||
            !take_number(at, 6, &date->day)) {
            return false;
        }
    } else {
        date->form = POSIX_DAY;
        if (!take_number(at, 365, &date->day)) {
            return false;
        }
    }
    return !take(at, '/') || take_time(at, TIME_HOURS, &date->time_s);
}

int posix_rule_parse(const char *text, struct posix_rule *out_rule)
{
    const char *at = text;
    struct posix_rule rule = {.has_summer = false};
    if (!take_name(&at) || !take_time(&at, OFFSET_HOURS, &rule.standard_s)) {
        return -1;
    }
    rule.standard_s = -rule.standard_s;
    if (*at != '\0') {
        rule.has_summer = true;
        if (!take_name(&at)) {
            return -1;
        }
        rule.summer_s = rule.standard_s + HOUR_S;
        if (*at != ',') {
            if (!take_time(&at, OFFSET_HOURS, &rule.summer_s)) {
                return -1;
            }
            rule.summer_s = -rule.summer_s;
        }
        if (!take(&at, ',') || !take_date(&at, &rule.start) || !take(&at, ',') ||
            !take_date(&at, &rule.end)) {
            return -1;
        }
    }
    if (*at != '\0') {
        return -1;
    }
    *out_rule = rule;
    return 0;
}

/* The local time of a date in a year, as seconds since 1970-01-01 00:00. */
static int64_t local_time(const struct posix_date *date, int64_t year)
{
    int64_t days = first_of(year, 1);
    if (date->form == POSIX_DAY) {
        days += date->day;
    } else if (date->form == POSIX_JULIAN) { /* 29 February is never counted */
        days += date->day - 1 + (is_leap(year) && date->day >= 60 ? 1 : 0);
    } else {
        int64_t first = first_of(year, date->month);
        int64_t next = date->month == 12 ? first_of(year + 1, 1) : first_of(year, date->month + 1);
        days = first + (date->day - weekday(first) + 7) % 7 + 7 * (int64_t)(date->week - 1);
        days -= days >= next ? 7 : 0; /* week 5: the last one */
    }
    return days * DAY_S + date->time_s;
}

int32_t posix_rule_offset(const struct posix_rule *rule, int64_t time_s, int64_t *out_until_s)
{
    int64_t days = (time_s + rule->standard_s) / DAY_S;
    int64_t last = INT64_MIN;
    int32_t offset = rule->standard_s;
    *out_until_s = INT64_MAX;
    if (!rule->has_summer || time_s < -YEARS_CEILING * 365 || time_s > YEARS_CEILING * 365) {
        return offset;
    }
    int64_t year = year_of(days);
    /* The last change up to 'time_s' decides; of two at one moment (a year that is all summer
     * time) the start of summer time. */
    for (int64_t y = year - 2; y <= year + 2; y++) {
        int64_t starts = local_time(&rule->start, y) - rule->standard_s;
        int64_t ends = local_time(&rule->end, y) - rule->summer_s;
        if (ends <= time_s && ends > last) {
            last = ends;
            offset = rule->standard_s;
        }
        if (starts <= time_s && starts >= last) {
            last = starts;
            offset = rule->summer_s;
        }
        if (starts > time_s) {
            *out_until_s = starts < *out_until_s ? starts : *out_until_s;
        }
        if (ends > time_s) {
            *out_until_s = ends < *out_until_s ? ends : *out_until_s;
        }
    }
    return offset;
}
