/* SPDX-License-Identifier: MIT */
/* Tables that fit. */
#include <locale.h>

#include "driver/commands/table.h"
#include "tests/unit/driver/rows.h"
#include "tests/unit/rows.h"

static const struct table_column columns[] = {
    {"JOB", 0, 0}, {"IMAGE", 4, 2}, {"REF", 3, 1}, {"LAST", 0, 0}};

static const struct width_row {
    const char *name;
    size_t width;
    const char *text;
} widths[] = {
    {"no terminal", 0,
     "JOB  IMAGE        REF      LAST\n"
     "1    a-long-name  feature  x\n"
     "22   \\x1b\xc3\xbc        -        y\n"},
    {"just enough", 31,
     "JOB  IMAGE        REF      LAST\n"
     "1    a-long-name  feature  x\n"
     "22   \\x1b\xc3\xbc        -        y\n"},
    {"the widest shrinks first", 28,
     "JOB  IMAGE     REF      LAST\n"
     "1    a-long-…  feature  x\n"
     "22   \\x1b\xc3\xbc     -        y\n"},
    {"all shrink", 20,
     "JOB  IMA…  REF  LAST\n"
     "1    a-l…  fe…  x\n"
     "22   \\x1…  -    y\n"},
    {"the least important goes", 19,
     "JOB  REF      LAST\n"
     "1    feature  x\n"
     "22   -        y\n"},
    {"what must stay, stays", 5,
     "JOB  LAST\n"
     "1    x\n"
     "22   y\n"},
};

static void fits(void **state)
{
    const struct width_row *row = *state;
    struct table table = {.columns = columns, .column_count = 4};
    char *text = NULL;
    size_t length = 0;
    const char *const first[] = {"1", "a-long-name", "feature", "x"};
    const char *const second[] = {"22", "\x1b\xc3\xbc", NULL, "y"};
    assert_int_equal(table_add(&table, first), 0);
    assert_int_equal(table_add(&table, second), 0);
    FILE *out = open_memstream(&text, &length);
    table_print(&table, out, row->width);
    (void)fclose(out);
    assert_string_equal(text, row->text);
    free(text);
    table_done(&table);
}

/* Four of two columns, and one that is 'e' and a combining accent. */
static void columns_of_a_terminal(void **state)
{
    (void)state;
    static const struct table_column heads[] = {{"A", 2, 0}, {"B", 0, 0}};
    static const char *const texts[] = {"A         B\n\u6f22\u5b57\u6f22\u5b57  x\n"
                                        "e\u0301         y\n",
                                        "A        B\n\u6f22\u5b57\u6f22…  x\n"
                                        "e\u0301        y\n",
                                        "A       B\n\u6f22\u5b57…   x\n"
                                        "e\u0301       y\n"};
    const char *const first[] = {"\u6f22\u5b57\u6f22\u5b57", "x"};
    const char *const second[] = {"e\u0301", "y"};
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8")); /* widths of another C library than musl */
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        struct table table = {.columns = heads, .column_count = 2};
        char *text = NULL;
        size_t length = 0;
        assert_int_equal(table_add(&table, first), 0);
        assert_int_equal(table_add(&table, second), 0);
        FILE *out = open_memstream(&text, &length);
        table_print(&table, out, 11 - i);
        (void)fclose(out);
        assert_string_equal(text, texts[i]);
        free(text);
        table_done(&table);
    }
}

static void an_empty_table_has_no_heading(void **state)
{
    (void)state;
    struct table table = {.columns = columns, .column_count = 4};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    table_print(&table, out, 0);
    (void)fclose(out);
    assert_string_equal(text, "");
    free(text);
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_empty_table_has_no_heading),
                                       cmocka_unit_test(columns_of_a_terminal)};
    int failed = rows_run(widths, fits);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
