/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void test_length(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t left, length;
    } rows[] = {
        {"ASCII", "a", 1, 1},
        {"NUL", "", 1, 1},
        {"two bytes", "\xc2\x80", 2, 2},
        {"three bytes", "\xe2\x82\xac", 3, 3},
        {"four bytes", "\xf4\x8f\xbf\xbf", 4, 4},
        {"only the first one", "\xc3\xa4\xc3\xa4", 4, 2},
        {"cut off", "\xe2\x82\xac", 2, 0},
        {"continuation alone", "\x80", 1, 0},
        {"no continuation", "\xc3\x28", 2, 0},
        {"overlong, two bytes", "\xc1\xbf", 2, 0},
        {"overlong, three bytes", "\xe0\x9f\xbf", 3, 0},
        {"overlong, four bytes", "\xf0\x8f\xbf\xbf", 4, 0},
        {"surrogate", "\xed\xa0\x80", 3, 0},
        {"beyond U+10FFFF", "\xf4\x90\x80\x80", 4, 0},
        {"no lead", "\xff", 1, 0},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        size_t length = utf8_length((const unsigned char *)rows[i].bytes, rows[i].left);
        if (length != rows[i].length) {
            fail_msg("%s: %zu", rows[i].name, length);
        }
    }
}

/* Every character there is comes back well-formed and of the right length. */
static void test_encode(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x110000; point++) {
        char bytes[4] = "";
        size_t length = utf8_encode(point, bytes);
        size_t expected = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if ((point >= 0xd800 && point <= 0xdfff) || point == 0x110000) {
            expected = 0;
        }
        assert_int_equal(length, expected);
        if (length > 0) {
            assert_int_equal(utf8_length((const unsigned char *)bytes, length), length);
            assert_int_equal(utf8_decode((const unsigned char *)bytes, length), point);
        }
    }
    char euro[4] = "";
    assert_int_equal(utf8_encode(0x20ac, euro), 3);
    assert_memory_equal(euro, "\xe2\x82\xac", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
