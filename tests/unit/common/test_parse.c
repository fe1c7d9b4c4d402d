/* SPDX-License-Identifier: MIT */
#include "common/parse.h"

#include "tests/unit/rows.h"

#define UNTOUCHED (-77)

struct integer_row {
    const char *name;
    const char *text;
    int64_t minimum, maximum;
    int result;
    int64_t value;
};

static const struct integer_row integer_rows[] = {
    {"zero", "0", 0, 10, 0, 0},
    {"leading zeros are decimal", "010", 0, 10, 0, 10},
    {"lower bound", "-5", -5, 5, 0, -5},
    {"upper bound", "5", -5, 5, 0, 5},
    {"below the range", "-6", -5, 5, -1, UNTOUCHED},
    {"above the range", "6", -5, 5, -1, UNTOUCHED},
    {"largest", "9223372036854775807", 0, INT64_MAX, 0, INT64_MAX},
    {"one too large", "9223372036854775808", 0, INT64_MAX, -1, UNTOUCHED},
    {"empty", "", 0, 10, -1, UNTOUCHED},
    {"a sign alone", "-", -10, 10, -1, UNTOUCHED},
    {"two signs", "--1", -10, 10, -1, UNTOUCHED},
    {"plus sign", "+1", 0, 10, -1, UNTOUCHED},
    {"leading space", " 1", 0, 10, -1, UNTOUCHED},
    {"trailing space", "1 ", 0, 10, -1, UNTOUCHED},
    {"trailing letters", "1x", 0, 10, -1, UNTOUCHED},
    {"hexadecimal", "0x1", 0, 10, -1, UNTOUCHED},
    {"fraction", "1.0", 0, 10, -1, UNTOUCHED},
    {"exponent", "1e1", 0, 100, -1, UNTOUCHED},
};

static void test_integer(void **state)
{
    const struct integer_row *row = *state;
    int64_t value = UNTOUCHED;
    assert_int_equal(parse_integer(row->text, row->minimum, row->maximum, &value), row->result);
    assert_true(value == row->value);
}

struct unit_row {
    const char *name;
    const char *text;
    int result;
    int64_t value;
};

static const struct unit_row duration_rows[] = {
    {"bare number is seconds", "3", 0, 3000},
    {"seconds", "3s", 0, 3000},
    {"milliseconds", "1500ms", 0, 1500},
    {"minutes", "5m", 0, 300000},
    {"hours", "2h", 0, 7200000},
    {"days", "1d", 0, 86400000},
    {"upper case", "2H", 0, 7200000},
    {"nothing", "0", 0, 0},
    {"empty", "", -1, UNTOUCHED},
    {"unit alone", "s", -1, UNTOUCHED},
    {"negative", "-1s", -1, UNTOUCHED},
    {"unknown unit", "1w", -1, UNTOUCHED},
    {"space before the unit", "1 s", -1, UNTOUCHED},
    {"two units", "1h30m", -1, UNTOUCHED},
    {"overflow by the unit", "9223372036854775d", -1, UNTOUCHED},
    {"overflow by the number", "99999999999999999999ms", -1, UNTOUCHED},
};

static void test_duration(void **state)
{
    const struct unit_row *row = *state;
    int64_t value = UNTOUCHED;
    assert_int_equal(parse_duration_ms(row->text, &value), row->result);
    assert_true(value == row->value);
}

static const struct unit_row size_rows[] = {
    {"bare number is bytes", "65536", 0, 65536},
    {"b", "7b", 0, 7},
    {"k", "64k", 0, 65536},
    {"kB", "64kB", 0, 65536},
    {"KiB", "64KiB", 0, 65536},
    {"M", "64M", 0, 67108864},
    {"G", "2G", 0, 2147483648},
    {"GiB", "2GiB", 0, 2147483648},
    {"terabytes are not known", "1T", -1, UNTOUCHED},
    {"fraction", "1.5G", -1, UNTOUCHED},
    {"empty", "", -1, UNTOUCHED},
    {"overflow", "9223372036854775807G", -1, UNTOUCHED},
};

static void test_size(void **state)
{
    const struct unit_row *row = *state;
    int64_t value = UNTOUCHED;
    assert_int_equal(parse_size_bytes(row->text, &value), row->result);
    assert_true(value == row->value);
}

struct text_row {
    const char *name;
    int64_t number;
    const char *duration, *size;
};

static const struct text_row text_rows[] = {
    {"nothing", 0, "0s", "0 bytes"},
    {"less than a unit", 500, "500ms", "500 bytes"},
    {"seconds", 60000, "60s", "60000 bytes"},
    {"hours", 86400000, "24h", "86400000 bytes"},
    {"mebibytes", 6 << 20, "6291456ms", "6MiB"},
};

static void test_text(void **state)
{
    const struct text_row *row = *state;
    char text[PARSE_TEXT_BYTES];
    duration_text(row->number, text);
    assert_string_equal(text, row->duration);
    size_text(row->number, text);
    assert_string_equal(text, row->size);
}

int main(void)
{
    return rows_run(integer_rows, test_integer) + rows_run(duration_rows, test_duration) +
           rows_run(size_rows, test_size) + rows_run(text_rows, test_text);
}
