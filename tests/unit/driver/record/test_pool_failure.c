/* SPDX-License-Identifier: MIT */
#include "driver/record/pool_failure.h"

#include "driver/record/keys.h"
#include "tests/unit/driver/rows.h"

#define NOW_S 1790000000

static void pauses_double(void **state)
{
    (void)state;
    static const struct {
        int64_t count, pause_s;
    } rows[] = {{1, 30}, {2, 60}, {3, 120}, {6, 960}, {7, 1800}, {8, 1800}, {INT64_MAX, 1800}};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct pool_failure failure = {.count = rows[i].count, .failed_at_s = NOW_S};
        assert_int_equal(pool_failure_pause_s(rows[i].count), rows[i].pause_s);
        assert_false(pool_failure_is_due(&failure, NOW_S + rows[i].pause_s - 1));
        assert_true(pool_failure_is_due(&failure, NOW_S + rows[i].pause_s));
        assert_true(pool_failure_is_due(&failure, NOW_S - 1)); /* a clock that was set back */
    }
}

static void kept_in_files(void **state)
{
    (void)state;
    struct pool_failures failures;
    char text[POOL_FAILURE_TEXT_BYTES];
    struct pool_failure failure = {.wish = "abc",
                                   .owner = "def",
                                   .config = "1.2 3",
                                   .name = "ruby:3",
                                   .reason = "no \"such\" image",
                                   .count = 1,
                                   .failed_at_s = NOW_S};
    assert_int_equal(pool_failure_write(rows_directory, &failure, NULL), 0);
    failure.count = 2; /* replaces the first */
    assert_int_equal(pool_failure_write(rows_directory, &failure, NULL), 0);
    assert_int_equal(pool_failures_read(rows_directory, &failures, NULL), 0);
    assert_int_equal(failures.count, 1);
    assert_memory_equal(&failures.entries[0], &failure, sizeof(failure));
    pool_failure_text(&failures.entries[0], NOW_S + 20, text);
    assert_string_equal(text, "the last 2 launches failed, the next is due in 40 s: no \"such\" "
                              "image");
    pool_failures_done(&failures);
    pool_failure_remove(rows_directory, "abc", "other");
    assert_int_equal(pool_failures_read(rows_directory, &failures, NULL), 0);
    assert_int_equal(failures.count, 1);
    pool_failures_done(&failures);
    pool_failure_remove(rows_directory, "abc", "def");
    pool_failure_remove(rows_directory, "abc", "def");
    assert_int_equal(pool_failures_read(rows_directory, &failures, NULL), 0);
    assert_int_equal(failures.count, 0);
    pool_failures_done(&failures);
}

static void damaged_files(void **state)
{
    (void)state;
    struct pool_failures failures;
    static const char *const texts[] = {"", "{", "[]", "{\"wish\":\"abc\",\"owner\":\"def\"}",
                                        "{\"wish\":\"x\",\"owner\":\"def\",\"count\":1}"};
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        (void)rows_file(".warm-failed-abc-def", texts[i], strlen(texts[i]));
        assert_int_equal(pool_failures_read(rows_directory, &failures, NULL), 0);
        assert_int_equal(failures.count, 0);
        pool_failures_done(&failures);
    }
    assert_int_equal(pool_failures_read("/nowhere/at/all", &failures, NULL), 0);
    pool_failures_done(&failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double),
        cmocka_unit_test(kept_in_files),
        cmocka_unit_test(damaged_files),
    };
    return keys_init(NULL) < 0
               ? 1
               : cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
