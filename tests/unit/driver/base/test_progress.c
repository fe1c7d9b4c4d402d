/* SPDX-License-Identifier: MIT */
/* Bars that fit. */
#include "driver/base/progress.h"

#include <fcntl.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/driver/rows.h"
#include "tests/unit/rows.h"

#define MIB (1LL << 20)

static const struct bar_row {
    const char *name;
    size_t columns;
    struct progress_state state;
    const char *text;
} bars[] = {
    {"half",
     80,
     {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"},
     "[===================>                   ]  50%  12.0 of 24.0 MiB, 3 of 7 layers"},
    {"narrower",
     56,
     {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"},
     "[=======>       ]  50%  12.0 of 24.0 MiB, 3 of 7 layers"},
    {"the narrowest with a bar",
     51,
     {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"},
     "[=====>    ]  50%  12.0 of 24.0 MiB, 3 of 7 layers"},
    {"no room for a bar",
     50,
     {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"},
     " 50%  12.0 of 24.0 MiB, 3 of 7 layers"},
    {"no room for the figures",
     20,
     {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"},
     " 50%  12.0 of 24.0 "},
    {"one column", 1, {12 * MIB, 24 * MIB, 0.5, NULL}, ""},
    {"no column", 0, {12 * MIB, 24 * MIB, 0.5, NULL}, ""},
    {"the end", 40, {24 * MIB, 24 * MIB, 1, NULL}, "[==============] 100%  24.0 of 24.0 MiB"},
    {"nothing known yet", 40, {0, 0, 0, NULL}, "[>                      ]   0%  0.0 MiB"},
    {"wide", 1000, {0, 0, 0, NULL}, "[>                                       ]   0%  0.0 MiB"},
    {"forged", 40, {-1, -1, -7, NULL}, "[>                      ]   0%  0.0 MiB"},
    {"forged, too much", 40, {1, 1, 1e300, NULL}, "[>               ]   0%  0.0 of 0.0 MiB"},
};

static void fits(void **state)
{
    const struct bar_row *row = *state;
    char text[PROGRESS_TEXT_BYTES];
    progress_bar(&row->state, row->columns, text);
    assert_string_equal(text, row->text);
    assert_true(row->columns == 0 || strlen(text) < row->columns);
}

static void the_largest_figures_fit(void **state)
{
    (void)state;
    static char note[1000];
    char text[PROGRESS_TEXT_BYTES];
    memset(note, 'x', sizeof(note) - 1);
    const struct progress_state worst = {INT64_MAX, INT64_MAX, 1, note};
    progress_bar(&worst, SIZE_MAX, text);
    assert_true(strlen(text) < sizeof(text));
}

/* Where no terminal is: a line now and then. */
static void a_line_when_it_is_due(void **state)
{
    (void)state;
    int ends[2];
    char text[256] = "";
    struct progress progress;
    const struct progress_state half = {12 * MIB, 24 * MIB, 0.5, "3 of 7 layers"};
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_prefix("berth");
    log_open("berth-test", LOG_INFO, LOG_TEXT, ends[1]);
    progress_begin(&progress, "pulling 'x'");
    assert_true(progress.next_ms > clock_now_ms() + 5000);
    progress_update(&progress, &half);
    assert_int_equal(read(ends[0], text, sizeof(text)), -1);
    progress.next_ms = 0;
    progress_update(&progress, &half);
    progress_update(&progress, &half);
    progress_end(&progress);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "berth: pulling 'x': 12.0 of 24.0 MiB, 3 of 7 layers\n");
    log_prefix(NULL);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_largest_figures_fit),
                                       cmocka_unit_test(a_line_when_it_is_due)};
    int failed = rows_run(bars, fits);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
