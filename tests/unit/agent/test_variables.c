/* SPDX-License-Identifier: MIT */
#include "agent/variables.h"

#include "agent/limits.h"
#include "common/buffer.h"
#include "tests/unit/rows.h"

#define TEXT(text) text, sizeof(text) - 1

struct row {
    const char *name;
    const char *text;
    size_t length;
    const char *message; /* NULL: valid */
};

static const struct row rows[] = {
    {"nothing", TEXT(""), NULL},
    {"one", TEXT("A=1\0"), NULL},
    {"the last without its NUL", TEXT("A=1\0B=2"), NULL},
    {"empty value", TEXT("A=\0"), NULL},
    {"equals signs in the value", TEXT("A==b=c\0"), NULL},
    {"any byte in the value", TEXT("A=\x01\n\xff\0"), NULL},
    {"dots and hyphens in the name", TEXT("discovery.type-1=single-node\0"), NULL},
    {"bytes that are not ASCII in the name", TEXT("\xc3\xa4=1\0"), NULL},
    {"twice", TEXT("A=1\0A=2\0"), NULL},
    {"no equals sign", TEXT("secret\0"), "entry 1 of 'file' is not NAME=VALUE"},
    {"the equals sign of the next one", TEXT("secret\0A=1\0"),
     "entry 1 of 'file' is not NAME=VALUE"},
    {"no name", TEXT("A=1\0=secret\0"), "entry 2 of 'file' is not NAME=VALUE"},
    {"empty entry", TEXT("A=1\0\0"), "entry 2 of 'file' is not NAME=VALUE"},
    {"NUL alone", TEXT("\0"), "entry 1 of 'file' is not NAME=VALUE"},
    {"newline in the name", TEXT("A\nB=secret\0"), "entry 1 of 'file' is not NAME=VALUE"},
    {"DEL in the name", TEXT("A\x7f=secret\0"), "entry 1 of 'file' is not NAME=VALUE"},
};

static void test_check(void **state)
{
    const struct row *row = *state;
    struct error err = {0};
    assert_int_equal(variables_check(row->text, row->length, "file", &err),
                     row->message == NULL ? 0 : -1);
    assert_string_equal(err.message, row->message == NULL ? "" : row->message);
}

/* A name of 'bytes' bytes. */
static int check_name(size_t bytes)
{
    char text[LIMIT_VARIABLE_NAME + 8];
    struct error err = {0};
    memset(text, 'A', sizeof(text));
    text[bytes] = '=';
    return variables_check(text, bytes + 1, "file", &err);
}

static int check_count(size_t count)
{
    struct buffer text;
    struct error err = {0};
    buffer_init(&text, LIMIT_VARIABLES_BYTES);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(buffer_append(&text, "A=1", 4), 0);
    }
    int result = variables_check(text.bytes, text.length, "file", &err);
    buffer_done(&text);
    return result;
}

static void test_ceilings(void **state)
{
    (void)state;
    assert_int_equal(check_name(LIMIT_VARIABLE_NAME), 0);
    assert_int_equal(check_name(LIMIT_VARIABLE_NAME + 1), -1);
    assert_int_equal(check_count(LIMIT_VARIABLES), 0);
    assert_int_equal(check_count(LIMIT_VARIABLES + 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ceilings)};
    return rows_run(rows, test_check) + cmocka_run_group_tests(tests, NULL, NULL);
}
