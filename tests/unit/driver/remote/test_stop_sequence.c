/* SPDX-License-Identifier: MIT */
#include "driver/remote/stop_sequence.h"
#include "tests/unit/driver/rows.h"

#include "common/clock.h"

/* What happens, in order, and what stop_sequence_next() returns then. */
enum event { START, CONNECT, EXTEND, NEXT };

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
    {"not started", {{NEXT, 0, STOP_NOTHING}, {NEXT, 1000000, STOP_NOTHING}}, 2, CLOCK_NEVER},
    {"asked and not yet said", {{START, 100, 0}}, 1, 0},
    {"TERM once, then KILL once, then the end",
     {{START, 100, 0},
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
     {{START, 100, 0}, {NEXT, 100, STOP_TERM}, {START, 2000, 0}, {NEXT, 3100, STOP_KILL}},
     4,
     8100},
    {"TERM is repeated on a new connection",
     {{START, 100, 0}, {NEXT, 100, STOP_TERM}, {CONNECT, 0, 0}, {NEXT, 200, STOP_TERM}},
     4,
     3100},
    {"a late connection gets only KILL, and its time starts then",
     {{START, 100, 0},
      {NEXT, 100, STOP_TERM},
      {CONNECT, 0, 0},
      {NEXT, 12000, STOP_KILL},
      {NEXT, 16999, STOP_NOTHING},
      {NEXT, 17000, STOP_GIVE_UP}},
     6,
     17000},
    {"KILL is repeated on a new connection",
     {{START, 0, 0},
      {NEXT, 5000, STOP_KILL},
      {CONNECT, 0, 0},
      {NEXT, 12000, STOP_KILL},
      {NEXT, 16999, STOP_NOTHING}},
     5,
     17000},
    {"links that are lost again and again get no more than 20 s beyond the grace period",
     {{START, 100, 0},
      {NEXT, 100, STOP_TERM},
      {CONNECT, 0, 0},
      {NEXT, 12000, STOP_KILL},
      {CONNECT, 0, 0},
      {NEXT, 20000, STOP_KILL},
      {NEXT, 21099, STOP_NOTHING},
      {NEXT, 21100, STOP_GIVE_UP},
      {CONNECT, 0, 0},
      {NEXT, 21100, STOP_GIVE_UP}},
     10,
     0},
    {"nothing is sent after the limit", {{START, 100, 0}, {NEXT, 60000, STOP_GIVE_UP}}, 2, 0},
    {"more time only within the limit",
     {{START, 0, 0}, {NEXT, 18000, STOP_KILL}, {EXTEND, 20000, 0}, {NEXT, 20999, STOP_NOTHING}},
     4,
     21000},
    {"more time",
     {{START, 0, 0},
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
        struct stop_sequence stop;
        print_message("%s\n", rows[i].name);
        stop_sequence_init(&stop, 1000);
        for (size_t j = 0; j < rows[i].count; j++) {
            int64_t now_ms = rows[i].events[j].at_ms;
            switch (rows[i].events[j].event) {
            case START:
                stop_sequence_start(&stop, now_ms);
                break;
            case CONNECT:
                stop_sequence_new_connection(&stop);
                break;
            case EXTEND:
                stop_sequence_extend(&stop, now_ms);
                break;
            case NEXT:
                assert_int_equal(stop_sequence_next(&stop, now_ms), rows[i].events[j].step);
                break;
            }
        }
        assert_true(stop_sequence_deadline_ms(&stop) == rows[i].deadline_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
