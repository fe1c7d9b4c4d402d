/* SPDX-License-Identifier: MIT */
#include "driver/runner/usage_text.h"
#include "tests/unit/driver/rows.h"

#define GIB     (1ULL << 30)
#define UNKNOWN JOBWIRE_UNKNOWN

static const struct {
    const char *name;
    struct jobwire_usage usage; /* CPU ms, peak, limit, largest process, OOM kills */
    bool of_people, of_runner;  /* worth a line after a script of theirs */
    const char *text;
} rows[] = {
    {"nothing much",
     {12, GIB / 4, 2 * GIB, GIB / 16, 0},
     false,
     false,
     "peak memory 0.2 of 2.0 GiB, 0.0 CPU s"},
    {"CPU",
     {38400, 1503238553, 2 * GIB, 1, 0},
     true,
     false,
     "peak memory 1.4 of 2.0 GiB, 38 CPU s"},
    {"a second of CPU",
     {1000, 1 << 20, 64 << 20, 1, 0},
     true,
     false,
     "peak memory 1.0 of 64.0 MiB, 1.0 CPU s"},
    {"half of the memory",
     {10, GIB + 1, 2 * GIB, 1, 0},
     true,
     false,
     "peak memory 1.0 of 2.0 GiB, 0.0 CPU s"},
    {"no limit: the largest process",
     {2000, 50 * GIB, UNKNOWN, 3 << 20, 0},
     true,
     false,
     "peak memory 3.0 MiB in one process, 2.0 CPU s"},
    {"no cgroup",
     {2000, UNKNOWN, UNKNOWN, 3 << 20, UNKNOWN},
     true,
     false,
     "peak memory 3.0 MiB in one process, 2.0 CPU s"},
    {"nothing known", {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN}, false, false, ""},
    {"no CPU", {UNKNOWN, GIB, GIB, UNKNOWN, UNKNOWN}, true, false, "peak memory 1.0 of 1.0 GiB"},
    {"no memory", {2000, UNKNOWN, UNKNOWN, UNKNOWN, 0}, true, false, "2.0 CPU s"},
    {"made up", {INT64_MAX, INT64_MAX, INT64_MAX, 1ULL << 50, INT64_MAX}, false, false, ""},
    {"an OOM kill alone",
     {UNKNOWN, UNKNOWN, GIB, UNKNOWN, 1},
     true,
     true,
     "out of memory: the kernel killed 1 process of the task (OOM kill)"},
    {"OOM kill",
     {10, GIB, GIB, 1, 1},
     true,
     true,
     "out of memory: the kernel killed 1 process of the task (OOM kill); peak memory 1.0 of 1.0 "
     "GiB, 0.0 CPU s"},
    {"OOM kills",
     {10, GIB / 8, GIB, 1, 3},
     true,
     true,
     "out of memory: the kernel killed 3 processes of the task (OOM kill); peak memory 0.1 of 1.0 "
     "GiB, 0.0 CPU s"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char text[USAGE_TEXT_BYTES];
        print_message("%s\n", rows[i].name);
        usage_text(&rows[i].usage, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(usage_text_worth_it(&rows[i].usage, true), rows[i].of_people);
        assert_int_equal(usage_text_worth_it(&rows[i].usage, false), rows[i].of_runner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
