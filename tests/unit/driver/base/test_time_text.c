/* SPDX-License-Identifier: MIT */
#include "driver/base/time_text.h"

#include "tests/unit/driver/rows.h"

#define NOT_A_TIME INT64_MIN

static void dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
        long ns;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2026-11-29T16:53:18.027515205Z", 1795971198, 27515205},
        {"2026-11-29T16:53:18.1Z", 1795971198, 100000000},
        {"2026-11-29T16:53:18.0275152059Z", 1795971198, 27515205},
        {"2026-11-29T17:53:18+01:00", 1795971198, 0},
        {"2026-11-29T17:53:18+0100", 1795971198, 0},
        {"2026-11-29T11:23:18-05:30", 1795971198, 0},
        {"1969-12-31T23:59:59.5Z", -1, 500000000},
        {"", NOT_A_TIME, 0},
        {"2026-11-29", NOT_A_TIME, 0},
        {"2026-11-29T16:53:18", NOT_A_TIME, 0},
        {"2026-11-29T16:53:18Zx", NOT_A_TIME, 0},
        {"2026-11-29T16:53:18+1", NOT_A_TIME, 0},
        {"2026-11-29T16:53:18+01:000", NOT_A_TIME, 0},
        {"2026-13-29T16:53:18Z", NOT_A_TIME, 0},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct timespec time = {.tv_sec = NOT_A_TIME};
        int64_t ms = NOT_A_TIME, s = NOT_A_TIME;
        int wanted = rows[i].s == NOT_A_TIME ? -1 : 0;
        assert_int_equal(time_text_parse(rows[i].text, &time), wanted);
        assert_int_equal(time_text_parse_ms(rows[i].text, &ms), wanted);
        assert_int_equal(time_text_parse_s(rows[i].text, &s), wanted);
        assert_int_equal(time.tv_sec, rows[i].s);
        assert_int_equal(time.tv_nsec, rows[i].ns);
        assert_int_equal(s, rows[i].s);
        assert_int_equal(ms, wanted < 0 ? NOT_A_TIME : rows[i].s * 1000 + rows[i].ns / 1000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
