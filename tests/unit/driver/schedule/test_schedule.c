/* SPDX-License-Identifier: MIT */
#include "driver/schedule/posix_rule.h"
#include "driver/schedule/schedule.h"
#include "tests/unit/driver/rows.h"

#include <time.h>

/* A file of version 1: UTC+1 until 1000, then UTC+2. */
static const unsigned char old_file[] =
    "TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\1\0\0\0\2\0\0\0\4\0\0\3\xe8\1\0\0\x0e\x10\0\0\0\0"
    "\x1c\x20\1\0ABC";

static int64_t at(int year, int month, int day, int hour, int minute)
{
    struct tm date = {.tm_year = year - 1900,
                      .tm_mon = month - 1,
                      .tm_mday = day,
                      .tm_hour = hour,
                      .tm_min = minute};
    return timegm(&date);
}

static void texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *part;
    } rows[] = {
        {"nothing", "", "no valid times"},
        {"no times", "Mon-Fri", "no valid days"},
        {"an unknown day", "Mon-Fry 08:00-09:00", "no valid days"},
        {"a long day", "Monday 08:00-09:00", "no valid days"},
        {"an open list", "Mon, 08:00-09:00", "no valid days"},
        {"one digit", "Mon 8:00-19:00", "no valid times"},
        {"minute 60", "Mon 08:60-19:00", "no valid times"},
        {"25 hours", "Mon 08:00-25:00", "no valid times"},
        {"after 24:00", "Mon 08:00-24:01", "no valid times"},
        {"a start at 24:00", "Mon 24:00-08:00", "no valid times"},
        {"no time at all", "Mon 08:00-08:00", "ends when it starts"},
        {"a day glued on", "Mon08:00-09:00", "no valid days"},
        {"a zone glued on", "Mon 08:00-09:00UTC", "no valid times"},
        {"two zones", "Mon 08:00-09:00 UTC UTC", "not one time zone"},
        {"an absolute zone", "Mon 08:00-09:00 /etc/localtime", "no valid time zone"},
        {"a zone above", "Mon 08:00-09:00 ../localtime", "no valid time zone"},
        {"a zone above, later", "Mon 08:00-09:00 Europe/../../x", "no valid time zone"},
        {"a zone with an empty part", "Mon 08:00-09:00 Europe//Berlin", "no valid time zone"},
        {"a folder", "Mon 08:00-09:00 Europe/", "no valid time zone"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct schedule schedule = {.count = 0};
        struct error err = {0};
        if (schedule_add(&schedule, rows[i].text, 1, &err) == 0) {
            fail_msg("%s: taken", rows[i].name);
        }
        rows_assert_contains(rows[i].name, err.message, rows[i].part);
        assert_int_equal(err.kind, ERROR_USAGE);
        assert_int_equal(schedule.count, 0);
    }
}

/* 2026-11-29 is a Sunday. */
static void ranges_last(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int day, hour, minute; /* of November 2026, UTC */
        int64_t wanted;
    } rows[] = {
        {"its start", "Mon-Fri 08:00-19:00", 30, 8, 0, 1},
        {"the minute before", "Mon-Fri 08:00-19:00", 30, 7, 59, 0},
        {"its last minute", "Mon-Fri 08:00-19:00 UTC", 30, 18, 59, 1},
        {"its end", "Mon-Fri 08:00-19:00 UTC", 30, 19, 0, 0},
        {"another day", "Mon-Fri 08:00-19:00", 29, 12, 0, 0},
        {"every day", "08:00-19:00", 29, 12, 0, 1},
        {"days past the end of a week", "sat-mon 08:00-19:00", 29, 12, 0, 1},
        {"a list", "Tue,SUN 08:00-19:00", 29, 12, 0, 1},
        {"not in a list", "Tue,Sat 08:00-19:00", 29, 12, 0, 0},
        {"over midnight, before", "Sat 22:00-06:00", 28, 23, 0, 1},
        {"over midnight, after", "Sat 22:00-06:00", 29, 5, 59, 1},
        {"over midnight, its end", "Sat 22:00-06:00", 29, 6, 0, 0},
        {"over midnight, of another day", "Sun 22:00-06:00", 29, 5, 0, 0},
        {"a whole day, its end", "Sat 00:00-24:00", 29, 0, 0, 0},
        {"a whole day, its last minute", "Sat 00:00-24:00", 28, 23, 59, 1},
        {"to midnight", "Sat 12:00-00:00", 28, 23, 59, 1},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct schedule schedule = {.count = 0};
        assert_int_equal(schedule_add(&schedule, rows[i].text, 1, NULL), 0);
        assert_int_equal(schedule_load(&schedule, "/nowhere", NULL), 0);
        int64_t found =
            schedule_wanted(&schedule, at(2026, 11, rows[i].day, rows[i].hour, rows[i].minute), 0);
        if (found != rows[i].wanted) {
            fail_msg("%s: %d", rows[i].name, (int)found);
        }
        schedule_done(&schedule);
    }
}

static void the_largest_counts(void **state)
{
    (void)state;
    struct schedule schedule = {.count = 0};
    assert_int_equal(schedule_add(&schedule, "00:00-24:00", 0, NULL), 0);
    assert_int_equal(schedule_add(&schedule, "Mon-Fri 08:00-19:00", 4, NULL), 0);
    assert_int_equal(schedule_add(&schedule, "Mon 12:00-13:00", 2, NULL), 0);
    assert_int_equal(schedule_load(&schedule, NULL, NULL), 0);
    assert_int_equal(schedule_wanted(&schedule, at(2026, 11, 30, 12, 30), 9), 4);
    assert_int_equal(schedule_wanted(&schedule, at(2026, 11, 30, 20, 30), 9), 0);
    assert_int_equal(schedule_most(&schedule, 1), 4);
    assert_int_equal(schedule_most(&schedule, 9), 9);
    schedule_done(&schedule);
    assert_int_equal(schedule_wanted(&schedule, 0, 9), 9);
}

static void there_is_a_ceiling(void **state)
{
    (void)state;
    struct schedule schedule = {.count = 0};
    struct error err = {0};
    for (int i = 0; i < SCHEDULE_RANGE_CEILING; i++) {
        assert_int_equal(schedule_add(&schedule, "08:00-09:00", i, &err), 0);
    }
    assert_int_equal(schedule_add(&schedule, "08:00-09:00", 1, &err), -1);
}

static void rules(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int month, day, hour; /* of 2026, UTC */
        int offset;
    } rows[] = {
        {"standard time alone", "<+0330>-3:30", 7, 1, 0, 12600},
        {"before summer time in Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", 3, 29, 0, 3600},
        {"summer time in Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", 3, 29, 1, 7200},
        {"its last hour", "CET-1CEST,M3.5.0,M10.5.0/3", 10, 25, 0, 7200},
        {"after it", "CET-1CEST,M3.5.0,M10.5.0/3", 10, 25, 1, 3600},
        {"the south, January", "AEST-10AEDT,M10.1.0,M4.1.0/3", 1, 1, 0, 39600},
        {"the south, July", "AEST-10AEDT,M10.1.0,M4.1.0/3", 7, 1, 0, 36000},
        {"all year", "XXX3EDT4,0/0,J365/23", 7, 1, 0, -14400},
        {"a negative time", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 3, 29, 0, -7200},
        {"the day of a year", "AAA0BBB,J60,J61", 3, 1, 3, 3600},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct posix_rule rule;
        int64_t until_s = 0;
        assert_int_equal(posix_rule_parse(rows[i].text, &rule), 0);
        int64_t time_s = at(2026, rows[i].month, rows[i].day, rows[i].hour, 0);
        int offset = posix_rule_offset(&rule, time_s, &until_s);
        if (offset != rows[i].offset || until_s <= time_s) {
            fail_msg("%s: %d", rows[i].name, offset);
        }
    }
}

static void what_is_not_a_rule(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "E5",
        "EST",
        "EST5EDT",
        "EST5EDT,M3.2.0",
        "<EST5",
        "EST25",
        "EST5EDT,M13.1.0,M11.1.0",
        "EST5EDT,M3.6.0,M11.1.0",
        "EST5 ",
        "EST5EDT,J0,1",
        "EST5EDT,1,366",
        "EST5EDT,1/168,2",
        "EST5:60",
    };
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        struct posix_rule rule;
        if (posix_rule_parse(texts[i], &rule) == 0) {
            fail_msg("'%s' was taken", texts[i]);
        }
    }
}

static void old_files_are_read(void **state)
{
    (void)state;
    struct zone *zone = NULL;
    int64_t until_s = 0;
    assert_int_equal(zone_parse(old_file, sizeof(old_file), &zone, NULL), 0);
    assert_int_equal(zone_offset(zone, 999, &until_s), 3600);
    assert_int_equal(until_s, 1000);
    assert_int_equal(zone_offset(zone, 1000, &until_s), 7200);
    assert_true(until_s == INT64_MAX);
    /* The clock jumps from 4600 to 8200. */
    assert_int_equal(zone_moment(zone, 4599), 999);
    assert_int_equal(zone_moment(zone, 4600), 1000);
    assert_int_equal(zone_moment(zone, 8199), 1000);
    assert_int_equal(zone_moment(zone, 8201), 1001);
    zone_free(zone);
}

static void every_cut_file_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length + 1 < sizeof(old_file); length++) {
        struct zone *zone = NULL;
        unsigned char *copy = malloc(length + 1);
        memcpy(copy, old_file, length);
        if (zone_parse(copy, length, &zone, NULL) == 0) {
            fail_msg("%zu bytes were taken", length);
        }
        free(copy);
    }
}

static void a_missing_database_is_named(void **state)
{
    (void)state;
    struct zone *zone = NULL;
    struct error err = {0};
    assert_int_equal(zone_load("/nowhere", "Asia/Tokyo", &zone, &err), -1);
    assert_int_equal(err.kind, ERROR_USAGE);
    rows_assert_contains("message", err.message, "Asia/Tokyo");
    rows_assert_contains("hint", err.hint, "tzdata");
    assert_int_equal(zone_load("/nowhere", "Etc/UTC", &zone, &err), 0);
    zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_refused),
        cmocka_unit_test(ranges_last),
        cmocka_unit_test(the_largest_counts),
        cmocka_unit_test(there_is_a_ceiling),
        cmocka_unit_test(rules),
        cmocka_unit_test(what_is_not_a_rule),
        cmocka_unit_test(old_files_are_read),
        cmocka_unit_test(every_cut_file_is_refused),
        cmocka_unit_test(a_missing_database_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
