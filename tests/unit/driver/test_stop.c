/* SPDX-License-Identifier: MIT */
#include "driver/stop.h"
#include "rows.h"

#include "common/clock.h"

/* What happens, in order, and what stop_next() says then. */
enum event { ASK, LINK, EXTEND, NEXT };

static const struct {
    const char *name;
    struct {
        enum event event;
        int64_t at_ms;
        enum stop_step step; /* of NEXT */
    } events[12];
    size_t count;
    int64_t deadline_ms; /* at the end */
} rows[] = {
    {"nobody asked", {{NEXT, 0, STOP_NOTHING}, {NEXT, 1000000, STOP_NOTHING}}, 2, CLOCK_NEVER},
    {"asked and not yet said", {{ASK, 100, 0}}, 1, 0},
    {"TERM once, then KILL once, then the end",
     {{ASK, 100, 0},
      {NEXT, 100, STOP_TERM},
      {NEXT, 101, STOP_NOTHING},
      {NEXT, 3099, STOP_NOTHING},
      {NEXT, 3100, STOP_KILL},
      {NEXT, 3101, STOP_NOTHING},
      {NEXT, 8099, STOP_NOTHING},
      {NEXT, 8100, STOP_GIVE_UP},
      {NEXT, 8101, STOP_GIVE_UP}},
     9,
     8100},
    {"asked twice changes nothing",
     {{ASK, 100, 0}, {NEXT, 100, STOP_TERM}, {ASK, 2000, 0}, {NEXT, 3100, STOP_KILL}},
     4,
     8100},
    {"a new link hears TERM again",
     {{ASK, 100, 0}, {NEXT, 100, STOP_TERM}, {LINK, 0, 0}, {NEXT, 200, STOP_TERM}},
     4,
     3100},
    {"a link that comes late hears KILL alone, and its time starts then",
     {{ASK, 100, 0},
      {NEXT, 100, STOP_TERM},
      {LINK, 0, 0},
      {NEXT, 60000, STOP_KILL},
      {NEXT, 64999, STOP_NOTHING},
      {NEXT, 65000, STOP_GIVE_UP}},
     6,
     65000},
    {"KILL that was lost with its link",
     {{ASK, 0, 0},
      {NEXT, 5000, STOP_KILL},
      {LINK, 0, 0},
      {NEXT, 20000, STOP_KILL},
      {NEXT, 24999, STOP_NOTHING}},
     5,
     25000},
    {"more time",
     {{ASK, 0, 0},
      {NEXT, 5000, STOP_KILL},
      {NEXT, 10000, STOP_GIVE_UP},
      {EXTEND, 10000, 0},
      {NEXT, 14999, STOP_NOTHING},
      {NEXT, 15000, STOP_GIVE_UP}},
     6,
     15000},
};

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct stop stop;
        print_message("%s\n", rows[i].name);
        stop_init(&stop, 1000);
        for (size_t j = 0; j < rows[i].count; j++) {
            int64_t now_ms = rows[i].events[j].at_ms;
            switch (rows[i].events[j].event) {
            case ASK:
                stop_ask(&stop, now_ms);
                break;
            case LINK:
                stop_new_link(&stop);
                break;
            case EXTEND:
                stop_extend(&stop, now_ms);
                break;
            case NEXT:
                assert_int_equal(stop_next(&stop, now_ms), rows[i].events[j].step);
                break;
            }
        }
        assert_true(stop_deadline_ms(&stop) == rows[i].deadline_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
