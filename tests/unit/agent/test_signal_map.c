/* SPDX-License-Identifier: MIT */
#include "agent/signal_map.h"

#include <signal.h>

#include "tests/unit/rows.h"

struct signal_row {
    const char *name;
    const char *text;
    int number; /* 0: refused */
};

static const struct signal_row signal_rows[] = {
    {"number", "15", SIGTERM},
    {"name", "TERM", SIGTERM},
    {"long name", "SIGTERM", SIGTERM},
    {"lower case", "sigusr1", SIGUSR1},
    {"zero", "0", 0},
    {"too large", "65", 0},
    {"negative", "-1", 0},
    {"prefix alone", "SIG", 0},
    {"empty", "", 0},
    {"nonsense", "TERMS", 0},
    {"real-time signal", "34", 34},
};

static void test_signal(void **state)
{
    const struct signal_row *row = *state;
    int number = 0;
    assert_int_equal(signal_map_parse_signal(row->text, &number), row->number != 0);
    assert_int_equal(number, row->number);
}

struct pairs_row {
    const char *name;
    const char *pairs;
    bool valid;
    int sent; /* for SIGTERM */
};

static const struct pairs_row pairs_rows[] = {
    {"none", NULL, true, SIGTERM},
    {"numbers", "15:3", true, SIGQUIT},
    {"names", "TERM:SIGQUIT", true, SIGQUIT},
    {"dropped", "15:0", true, 0},
    {"another signal's", "1:3", true, SIGTERM},
    {"second of two", "1:3,15:2", true, SIGINT},
    {"the first counts", "15:2,15:3", true, SIGINT},
    {"no colon", "15", false, SIGTERM},
    {"nothing after it", "15:", false, SIGTERM},
    {"nothing before it", ":15", false, SIGTERM},
    {"three parts", "15:3:2", false, SIGTERM},
    {"from zero", "0:15", false, SIGTERM},
    {"empty word", "15:3,", false, SIGQUIT},
    {"empty text", "", false, SIGTERM},
    {"a word too long", "15:3000000000000000000000000000000000000000", false, SIGTERM},
};

static void test_pairs(void **state)
{
    const struct pairs_row *row = *state;
    assert_int_equal(signal_map_is_valid(row->pairs), row->valid);
    assert_int_equal(signal_map_signal(row->pairs, SIGTERM), row->sent);
}

struct codes_row {
    const char *name;
    const char *codes;
    bool valid;
    bool has_143;
};

static const struct codes_row codes_rows[] = {
    {"none", NULL, true, false},
    {"one", "143", true, true},
    {"second of two", "1,143", true, true},
    {"another", "14", true, false},
    {"largest", "255", true, false},
    {"too large", "256", false, false},
    {"negative", "-1", false, false},
    {"empty word", "143,", false, true},
    {"letters", "abc", false, false},
};

static void test_codes(void **state)
{
    const struct codes_row *row = *state;
    assert_int_equal(signal_map_codes_are_valid(row->codes), row->valid);
    assert_int_equal(signal_map_has_code(row->codes, 143), row->has_143);
}

int main(void)
{
    return rows_run(signal_rows, test_signal) + rows_run(pairs_rows, test_pairs) +
           rows_run(codes_rows, test_codes);
}
