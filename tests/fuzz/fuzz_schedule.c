/* SPDX-License-Identifier: MIT */
/* Schedules are the administrator's, zone files the system's. Beyond "no crash": an offset is in
 * range and lasts until a later moment, and the moment of a local time is one at which the clock
 * shows it or later, but not a second before. The bytes are a schedule and a zone file with a
 * newline between. */
#include <stdlib.h>
#include <string.h>

#include "driver/schedule/schedule.h"
#include "tests/fuzz/fuzz.h"

static void check_zone(const struct zone *zone, int64_t time_s)
{
    int64_t until_s = 0, ignored = 0;
    int32_t offset = zone_offset(zone, time_s, &until_s);
    fuzz_require(offset > -ZONE_OFFSET_CEILING_S && offset < ZONE_OFFSET_CEILING_S);
    fuzz_require(until_s > time_s);
    int64_t local_s = time_s + offset;
    int64_t moment = zone_moment(zone, local_s);
    fuzz_require(moment <= time_s);
    fuzz_require(moment + zone_offset(zone, moment, &ignored) >= local_s);
    fuzz_require(moment - 1 + zone_offset(zone, moment - 1, &ignored) < local_s);
}

static void check_schedule(struct schedule *schedule)
{
    for (int64_t time_s = 1790000000; time_s < 1790000000 + 14 * 86400; time_s += 7013) {
        int64_t wanted = schedule_wanted(schedule, time_s, 0);
        fuzz_require(wanted == 0 || wanted == 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct schedule schedule = {.count = 0};
    struct zone *zone = NULL;
    if (size > 8192) {
        return 0;
    }
    char *text = fuzz_text(bytes, size);
    const uint8_t *newline = memchr(bytes, '\n', size);
    (void)fuzz_cut(text);
    size_t skip = newline == NULL ? size : (size_t)(newline - bytes) + 1;
    bool has_zone = zone_parse(bytes + skip, size - skip, &zone, NULL) == 0;
    if (has_zone) {
        static const int64_t times[] = {-4000000000, 0, 1000, 1790000000, 4000000000, 20000000000};
        for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
            check_zone(zone, times[i]);
        }
    }
    if (schedule_add(&schedule, text, 3, NULL) == 0) {
        fuzz_require(zone_name_is_valid(schedule.ranges[0].zone_name));
        if (has_zone) {
            schedule.ranges[0].zone = zone;
            check_schedule(&schedule);
            schedule.ranges[0].zone = NULL;
        }
    }
    zone_free(zone);
    free(text);
    return 0;
}
