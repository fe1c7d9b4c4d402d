/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"

#include <string.h>

#include "tests/unit/rows.h"

struct append_row {
    const char *name;
    size_t ceiling;
    const char *first, *second;
    int result; /* of the second append */
    const char *content;
};

static const struct append_row append_rows[] = {
    {"two texts join", 100, "one", "two", 0, "onetwo"},
    {"nothing appended", 100, "one", "", 0, "one"},
    {"both empty", 100, "", "", 0, ""},
    {"exactly the ceiling", 6, "one", "two", 0, "onetwo"},
    {"one byte over leaves it as it was", 5, "one", "two", -1, "one"},
    {"full takes nothing more", 3, "one", "x", -1, "one"},
    {"ceiling of zero takes nothing", 0, "", "x", -1, ""},
};

static void test_append(void **state)
{
    const struct append_row *row = *state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, row->ceiling);
    assert_int_equal(buffer_append_text(&buffer, row->first), 0);
    assert_int_equal(buffer_append_text(&buffer, row->second), row->result);
    assert_int_equal(buffer.length, strlen(row->content));
    assert_string_equal(buffer.bytes, row->content);
}

static void test_printf(void **state)
{
    const struct append_row *row = *state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, row->ceiling);
    assert_int_equal(buffer_printf(&buffer, "%s", row->first), 0);
    assert_int_equal(buffer_printf(&buffer, "%s", row->second), row->result);
    assert_string_equal(buffer.bytes, row->content);
}

static const struct append_row last_rows[] = {
    {"two texts join", 100, "one", "two", 0, "onetwo"},
    {"exactly the ceiling", 6, "one", "two", 0, "onetwo"},
    {"one byte over", 5, "one", "two", 0, "netwo"},
    {"all old bytes give way", 3, "one", "two", 0, "two"},
    {"longer than the ceiling", 4, "one", "fifteen", 0, "teen"},
    {"nothing appended", 3, "one", "", 0, "one"},
    {"ceiling of zero keeps nothing", 0, "", "x", 0, ""},
};

static void test_append_last(void **state)
{
    const struct append_row *row = *state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, row->ceiling);
    assert_int_equal(buffer_append_text(&buffer, row->first), 0);
    assert_int_equal(buffer_append_last(&buffer, row->second, strlen(row->second)), row->result);
    assert_int_equal(buffer.length, strlen(row->content));
    assert_string_equal(buffer.bytes, row->content);
}

struct consume_row {
    const char *name;
    size_t length;
    const char *content;
};

static const struct consume_row consume_rows[] = {
    {"nothing", 0, "abcdef"}, {"a part", 2, "cdef"},         {"all but one", 5, "f"},
    {"all", 6, ""},           {"more than there is", 7, ""}, {"far more", SIZE_MAX, ""},
};

static void test_consume(void **state)
{
    const struct consume_row *row = *state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append_text(&buffer, "abcdef"), 0);
    buffer_consume(&buffer, row->length);
    assert_int_equal(buffer.length, strlen(row->content));
    assert_string_equal(buffer.bytes, row->content);
}

static void grows_over_many_appends(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    for (size_t i = 0; i < 10000; i++) {
        assert_int_equal(buffer_append(&buffer, "\0abc", 4), 0);
    }
    assert_int_equal(buffer.length, 40000);
    assert_memory_equal(buffer.bytes + 39996, "\0abc", 5);
}

static void huge_length_is_refused_without_wrapping(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX / 4);
    assert_int_equal(buffer_append_text(&buffer, "x"), 0);
    assert_int_equal(buffer_append(&buffer, "y", SIZE_MAX), -1);
    assert_string_equal(buffer.bytes, "x");
}

static void clear_keeps_the_memory_and_done_gives_it_back(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    buffer_clear(&buffer);
    assert_int_equal(buffer_append_text(&buffer, "x"), 0);
    buffer_clear(&buffer);
    assert_string_equal(buffer.bytes, "");
    buffer_done(&buffer);
    assert_null(buffer.bytes);
    assert_int_equal(buffer_append_text(&buffer, "again"), 0);
    buffer_done(&buffer);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(grows_over_many_appends),
        cmocka_unit_test(huge_length_is_refused_without_wrapping),
        cmocka_unit_test(clear_keeps_the_memory_and_done_gives_it_back),
    };
    return rows_run(append_rows, test_append) + rows_run(append_rows, test_printf) +
           rows_run(last_rows, test_append_last) + rows_run(consume_rows, test_consume) +
           cmocka_run_group_tests(others, NULL, NULL);
}
