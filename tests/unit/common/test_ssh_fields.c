/* SPDX-License-Identifier: MIT */
#include "common/ssh_fields.h"

#include "tests/unit/rows.h"

struct row {
    const char *name;
    const char *bytes;
    size_t length;
    const char *text; /* NULL: no string can be read */
    size_t left;      /* behind it */
};

static const struct row rows[] = {
    {"a string", "\0\0\0\3abc", 7, "abc", 0},
    {"an empty one", "\0\0\0\0x", 5, "", 1},
    {"more behind it", "\0\0\0\1abc", 7, "a", 2},
    {"one byte short", "\0\0\0\4abc", 7, NULL, 7},
    {"of 4 GiB",
     "\xff\xff\xff\xff"
     "abc",
     7, NULL, 7},
    {"half a length", "\0\0", 2, NULL, 2},
    {"nothing", "", 0, NULL, 0},
};

static void test_string(void **state)
{
    const struct row *row = *state;
    struct ssh_fields fields = {(const unsigned char *)row->bytes, row->length};
    size_t length = 77;
    const unsigned char *got = ssh_fields_string(&fields, &length);
    assert_int_equal(got == NULL, row->text == NULL);
    assert_int_equal(fields.left, row->left);
    if (row->text == NULL) {
        assert_int_equal(length, 77);
        assert_ptr_equal(fields.next, row->bytes);
    } else {
        assert_int_equal(length, strlen(row->text));
        assert_memory_equal(got, row->text, length);
    }
}

static void test_numbers(void **state)
{
    struct ssh_fields fields = {(const unsigned char *)"\1\2\3\4\5\6", 6};
    uint8_t byte = 0;
    uint32_t number = 0;
    (void)state;
    assert_true(ssh_fields_byte(&fields, &byte));
    assert_true(ssh_fields_uint32(&fields, &number));
    assert_int_equal(byte, 1);
    assert_int_equal(number, 0x02030405);
    assert_false(ssh_fields_uint32(&fields, &number));
    assert_int_equal(fields.left, 1);
    assert_true(ssh_fields_byte(&fields, &byte));
    assert_false(ssh_fields_byte(&fields, &byte));
    assert_int_equal(byte, 6);
}

int main(void)
{
    const struct CMUnitTest numbers[] = {cmocka_unit_test(test_numbers)};
    return rows_run(rows, test_string) + cmocka_run_group_tests(numbers, NULL, NULL);
}
