/* SPDX-License-Identifier: MIT */
/*
 * schedule.h - when how many warm tasks are wanted: "Mon-Fri 08:00-19:00 Asia/Tokyo" and a number.
 *
 * A text is [DAYS] HH:MM-HH:MM [ZONE]. DAYS are names of three letters in any case, ranges of them
 * (which may pass the end of a week) and lists of both: "Mon-Thu,Sat"; without them every day
 * counts. The end may be 24:00. An end that is not after the start is on the next day, so that
 * "Fri 22:00-06:00" ends on Saturday; the days are those of the start. ZONE is a name of
 * zone.h, by default UTC. A time that the clock skips is the end of the gap; of a time that comes
 * twice the first counts, for a start and for an end.
 *
 * schedule_add() reads texts without a look at files; schedule_load() reads the zones, once,
 * before the first schedule_wanted(). The caller embeds the struct and ends it with
 * schedule_done(), also after a failure. Mistakes are ERROR_USAGE.
 */
#ifndef BERTH_DRIVER_SCHEDULE_SCHEDULE_H
#define BERTH_DRIVER_SCHEDULE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/schedule/zone.h"

#define SCHEDULE_RANGE_CEILING 32

struct schedule_range {
    unsigned days;      /* bit 0: Sunday */
    int start_s, end_s; /* of the day; the end may be up to 48 h, that is on the next day */
    int64_t tasks;      /* while it lasts */
    char zone_name[ZONE_NAME_BYTES];
    struct zone *zone; /* NULL until schedule_load() */
};

struct schedule {
    struct schedule_range ranges[SCHEDULE_RANGE_CEILING];
    size_t count;
};

/* Adds one range. */
int schedule_add(struct schedule *schedule, const char *text, int64_t tasks, struct error *err)
    __attribute__((warn_unused_result));
/* 'directory' as in zone_load(). */
int schedule_load(struct schedule *schedule, const char *directory, struct error *err)
    __attribute__((warn_unused_result));
void schedule_done(struct schedule *schedule);

/* The largest number of the ranges that last at 'time_s' (Unix seconds); 'otherwise' without one.
 */
int64_t schedule_wanted(const struct schedule *schedule, int64_t time_s, int64_t otherwise);
/* The largest number of any range; 'otherwise' if that is larger or there is none. */
int64_t schedule_most(const struct schedule *schedule, int64_t otherwise);

#endif
