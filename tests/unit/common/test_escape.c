/* SPDX-License-Identifier: MIT */
#include "common/escape.h"

#include <string.h>

#include "common/utf8.h"
#include "tests/unit/rows.h"

struct escape_row {
    const char *name, *text, *shown, *json;
};

static const struct escape_row rows[] = {
    {"plain", "a b~", "a b~", "a b~"},
    {"quote and backslash", "\"\\", "\"\\", "\\\"\\\\"},
    {"NUL is never seen, its neighbours are", "\x01\x1f", "\\x01\\x1f", "\\u0001\\u001f"},
    {"a forged line", "x\ny\r", "x\\x0ay\\x0d", "x\\u000ay\\u000d"},
    {"a title", "\x1b]0;t\x07", "\\x1b]0;t\\x07", "\\u001b]0;t\\u0007"},
    {"delete", "\x7f", "\\x7f", "\\u007f"},
    {"C1: CSI, and next line", "\xc2\x9b\xc2\x85", "\\u009b\\u0085", "\\u009b\\u0085"},
    {"right-to-left override",
     "a\xe2\x80\xae"
     "b",
     "a\\u202eb", "a\\u202eb"},
    {"bidi embedding, pop", "\xe2\x80\xaa\xe2\x80\xac", "\\u202a\\u202c", "\\u202a\\u202c"},
    {"bidi isolates", "\xe2\x81\xa6\xe2\x81\xa9", "\\u2066\\u2069", "\\u2066\\u2069"},
    {"bidi marks", "\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\u200e\\u200f\\u061c",
     "\\u200e\\u200f\\u061c"},
    {"line and paragraph separator", "\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029",
     "\\u2028\\u2029"},
    {"nothing to see", "\xe2\x80\x8b\xe2\x81\xa0\xef\xbb\xbf", "\\u200b\\u2060\\ufeff",
     "\\u200b\\u2060\\ufeff"},
    {"a tag", "\xf3\xa0\x81\x81", "\\U000e0041", "\\udb40\\udc41"},
    {"letters, joiners, emoji", "\xd8\xa7\xe2\x80\x8c\xe2\x80\x8d\xf0\x9f\x9a\xa2\xe6\x97\xa5",
     "\xd8\xa7\xe2\x80\x8c\xe2\x80\x8d\xf0\x9f\x9a\xa2\xe6\x97\xa5",
     "\xd8\xa7\xe2\x80\x8c\xe2\x80\x8d\xf0\x9f\x9a\xa2\xe6\x97\xa5"},
    {"not UTF-8", "\xe2\x80(\xff", "\\xe2\\x80(\\xff", "\\u00e2\\u0080(\\u00ff"},
};

static void test_row(void **state)
{
    const struct escape_row *row = *state;
    char out[256];
    size_t length = strlen(row->text);
    assert_int_equal(escape(out, sizeof(out), row->text, length, ESCAPE_TEXT), strlen(row->shown));
    assert_string_equal(out, row->shown);
    assert_int_equal(escape(out, sizeof(out), row->text, length, ESCAPE_JSON), strlen(row->json));
    assert_string_equal(out, row->json);
}

/* Whatever the room: a prefix that ends between two characters, and a NUL. */
static void cut_between_characters(void **state)
{
    (void)state;
    static const char text[] = "a\x1b\xe6\x97\xa5\xe2\x80\xae";
    static const char *const wanted[] = {"", "", "a", "a", "a", "a", "a\\x1b", "a\\x1b"};
    for (size_t room = 0; room < sizeof(wanted) / sizeof(wanted[0]); room++) {
        char out[16] = "untouched";
        size_t length = escape(out, room, text, strlen(text), ESCAPE_TEXT);
        assert_string_equal(out, room == 0 ? "untouched" : wanted[room]);
        assert_int_equal(length, strlen(wanted[room]));
        assert_int_equal(out[room], "untouched"[room]);
    }
}

/* No character grows beyond what callers make room for. */
static void the_worst_case_holds(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char bytes[4];
        char out[64];
        size_t length = utf8_encode(point, bytes);
        assert_true(escape(out, sizeof(out), bytes, length, ESCAPE_TEXT) <= length * ESCAPE_WORST);
        assert_true(escape(out, sizeof(out), bytes, length, ESCAPE_JSON) <= length * ESCAPE_WORST);
    }
}

static void print(void **state)
{
    (void)state;
    char text[64] = "";
    FILE *stream = fmemopen(text, sizeof(text), "w");
    assert_non_null(stream);
    escape_print(stream, "%s|%d\n", "a\nb", 3);
    escape_print(stream, "%s", "c\n");
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(text, "a\\x0ab|3\nc\\x0a");
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(cut_between_characters),
        cmocka_unit_test(the_worst_case_holds),
        cmocka_unit_test(print),
    };
    return rows_run(rows, test_row) + cmocka_run_group_tests(others, NULL, NULL);
}
