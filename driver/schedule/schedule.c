/* SPDX-License-Identifier: MIT */
#include "driver/schedule/schedule.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DAY_S     86400
#define WEEK_DAYS 7
#define ALL_DAYS  ((1U << WEEK_DAYS) - 1)
#define SHAPE     "write it as in \"Mon-Fri 08:00-19:00 Europe/Berlin\""

static int wrong(const char *text, const char *what, struct error *err)
{
    (void)error_set(err, ERROR_USAGE, 0, "the schedule \"%.80s\" %s", text, what);
    return error_hint(err, SHAPE);
}

/* A name of a weekday; -1: none. */
static int take_day(const char **at)
{
    static const char *const names[WEEK_DAYS] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    for (int day = 0; day < WEEK_DAYS; day++) {
        if (strncasecmp(*at, names[day], 3) == 0 && !isalpha((unsigned char)(*at)[3])) {
            *at += 3;
            return day;
        }
    }
    return -1;
}

/* "Mon-Thu,Sat" up to a blank. */
static bool take_days(const char **at, unsigned *out_days)
{
    unsigned days = 0;
    for (;;) {
        int first = take_day(at);
        int last = first;
        if (first >= 0 && **at == '-') {
            (*at)++;
            last = take_day(at);
        }
        if (first < 0 || last < 0) {
            return false;
        }
        int length = (last - first + WEEK_DAYS) % WEEK_DAYS;
        for (int i = 0; i <= length; i++) {
            days |= 1U << (first + i) % WEEK_DAYS;
        }
        if (**at != ',') {
            break;
        }
        (*at)++;
    }
    *out_days = days;
    return true;
}

/* "HH:MM", up to 24:00. */
static bool take_time(const char **at, int *out_s)
{
    const char *text = *at;
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? text[i] != ':' : !isdigit((unsigned char)text[i])) {
            return false;
        }
    }
    int hours = (text[0] - '0') * 10 + text[1] - '0';
    int minutes = (text[3] - '0') * 10 + text[4] - '0';
    *at += 5;
    *out_s = hours * 3600 + minutes * 60;
    return minutes < 60 && *out_s <= DAY_S;
}

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

int schedule_add(struct schedule *schedule, const char *text, int64_t tasks, struct error *err)
{
    struct schedule_range range = {.days = ALL_DAYS, .tasks = tasks, .zone_name = "UTC"};
    const char *at = text;
    if (schedule->count == SCHEDULE_RANGE_CEILING) {
        return error_set(err, ERROR_USAGE, 0, "more than %d schedules", SCHEDULE_RANGE_CEILING);
    }
    skip_blanks(&at);
    if (isalpha((unsigned char)*at)) {
        if (!take_days(&at, &range.days) || (*at != ' ' && *at != '\t')) {
            return wrong(text, "has no valid days", err);
        }
        skip_blanks(&at);
    }
    if (!take_time(&at, &range.start_s) || *at++ != '-' || !take_time(&at, &range.end_s) ||
        (*at != '\0' && *at != ' ' && *at != '\t') || range.start_s == DAY_S) {
        return wrong(text, "has no valid times", err);
    }
    if (range.start_s == range.end_s) {
        return wrong(text, "ends when it starts; a whole day is 00:00-24:00", err);
    }
    range.end_s += range.end_s < range.start_s ? DAY_S : 0;
    skip_blanks(&at);
    if (*at != '\0') {
        size_t length = strcspn(at, " \t");
        if (length >= sizeof(range.zone_name) || at[length + strspn(at + length, " \t")] != '\0') {
            return wrong(text, "has something behind its times that is not one time zone", err);
        }
        memcpy(range.zone_name, at, length);
        range.zone_name[length] = '\0';
        if (!zone_name_is_valid(range.zone_name)) {
            return wrong(text, "has no valid time zone", err);
        }
    }
    schedule->ranges[schedule->count++] = range;
    return 0;
}

int schedule_load(struct schedule *schedule, const char *directory, struct error *err)
{
    for (size_t i = 0; i < schedule->count; i++) {
        struct schedule_range *range = &schedule->ranges[i];
        if (range->zone == NULL && zone_load(directory, range->zone_name, &range->zone, err) < 0) {
            return -1;
        }
    }
    return 0;
}

void schedule_done(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->count; i++) {
        zone_free(schedule->ranges[i].zone);
        schedule->ranges[i].zone = NULL;
    }
    schedule->count = 0;
}

static int64_t floor_days(int64_t seconds)
{
    return seconds / DAY_S - (seconds % DAY_S < 0 ? 1 : 0);
}

/* 1970-01-01 was a Thursday. */
static unsigned weekday_bit(int64_t day)
{
    return 1U << ((day % WEEK_DAYS + WEEK_DAYS + 4) % WEEK_DAYS);
}

static bool lasts(const struct schedule_range *range, int64_t time_s)
{
    int64_t ignored = 0;
    int64_t today = floor_days(time_s + zone_offset(range->zone, time_s, &ignored));
    /* It may have started yesterday, or be ahead of a clock that was turned back over midnight. */
    for (int64_t day = today - 2; day <= today + 1; day++) {
        if ((range->days & weekday_bit(day)) != 0 &&
            zone_moment(range->zone, day * DAY_S + range->start_s) <= time_s &&
            time_s < zone_moment(range->zone, day * DAY_S + range->end_s)) {
            return true;
        }
    }
    return false;
}

int64_t schedule_wanted(const struct schedule *schedule, int64_t time_s, int64_t otherwise)
{
    int64_t most = -1;
    for (size_t i = 0; i < schedule->count; i++) {
        const struct schedule_range *range = &schedule->ranges[i];
        if (range->tasks > most && lasts(range, time_s)) {
            most = range->tasks;
        }
    }
    return most < 0 ? otherwise : most;
}

int64_t schedule_most(const struct schedule *schedule, int64_t otherwise)
{
    int64_t most = otherwise;
    for (size_t i = 0; i < schedule->count; i++) {
        most = schedule->ranges[i].tasks > most ? schedule->ranges[i].tasks : most;
    }
    return most;
}
