/* SPDX-License-Identifier: MIT */
/* What the public suite does not look at: positions, messages, ceilings, getters and
 * large tables. Validity itself is tested by scripts/toml_test.sh. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "driver/config/toml/toml.h"
#include "driver/config/toml/tree.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
/* Generous: what is measured takes some milliseconds, and seconds if it were quadratic. */
#define LARGE_DEADLINE_MS 2000

static struct toml_document *parse_bytes(const char *text, size_t length)
{
    struct toml_document *document = NULL;
    struct error err = {0};
    if (toml_parse("t", text, length, &document, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return document;
}

static struct toml_document *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static const struct toml_value *find(const struct toml_value *table, const char *key)
{
    const struct toml_value *value = toml_first(table);
    while (value != NULL && strcmp(toml_key(value), key) != 0) {
        value = toml_next(value);
    }
    return value;
}

/* Follows "a.b" from the root; a number steps into an array. */
static const struct toml_value *walk(const struct toml_document *document, const char *path)
{
    const struct toml_value *value = toml_root(document);
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", path);
    char *rest = copy;
    for (char *part; value != NULL && (part = strsep(&rest, ".")) != NULL;) {
        if (toml_type(value) != TOML_ARRAY) {
            value = toml_type(value) == TOML_TABLE ? find(value, part) : NULL;
            continue;
        }
        value = toml_first(value);
        for (int left = part[0] - '0'; left > 0 && value != NULL; left--) {
            value = toml_next(value);
        }
    }
    return value;
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } rows[] = {
        {"no value", "a = \n", "t:1:5: expected a value, found the end of the line"},
        {"no value at all", "a =", "t:1:4: expected a value, found the end of the file"},
        {"no equals sign", "x = 1\nkey 5\n", "t:2:5: expected '=' after a key, found '5'"},
        {"columns are characters", "'\xc3\xa4\xc3\xb6' 5",
         "t:1:6: expected '=' after a key, found '5'"},
        {"found is a whole character", "\xc3\xa4 = 1", "t:1:1: expected a key, found '\xc3\xa4'"},
        {"duplicate key", "a = 1\nb = 2\n a = 3\n", "t:3:2: 'a' is already defined on line 1"},
        {"line end in inline table", "t = {\na = 1}",
         "t:1:6: expected a key, found the end of the line"},
        {"duplicate in inline table", "t = {a = 1, a = 2}",
         "t:1:13: 'a' is already defined on line 1"},
        {"table twice", "[a]\n[b]\n[a]\n", "t:3:2: 'a' is already defined on line 1"},
        {"implied, defined, again", "[a.b]\n[a]\n[a]\n", "t:3:2: 'a' is already defined on line 2"},
        {"header over dotted", "[a]\nb.c = 1\n[a.b]\n", "t:3:4: 'b' is already defined on line 2"},
        {"header into inline", "a = {}\n[a.b]\n",
         "t:2:2: 'a' cannot be extended: it is an inline table on line 1"},
        {"dotted into table", "[a.b]\n[a]\nb.c = 1\n",
         "t:3:1: 'b' cannot be extended by dotted keys; it was defined on line 1"},
        {"dotted into value", "a = 1\na.b = 2\n",
         "t:2:1: 'a' is not a table; it was defined on line 1"},
        {"append to array", "a = []\n[[a]]\n",
         "t:2:3: 'a' is not an array of tables; it was defined on line 1"},
        {"half a double bracket", "[[a]\n",
         "t:1:5: expected ']]' after the name of a table, found the end of the line"},
        {"text after value", "a = 1 b\n", "t:1:7: expected the end of the line, found 'b'"},
        {"unquoted text", "a = info\n", "t:1:5: 'info' is not a valid value; text needs quotes"},
        {"array not closed", "a = [1,\n2\n",
         "t:3:1: expected ',' or ']' in an array, found the end of the file"},
        {"inline table not closed", "a = {b=1\n",
         "t:1:9: expected ',' or '}' in an inline table, found the end of the line"},
        {"string not closed", "a = \"x\n", "t:1:5: the string is not closed; its end is \""},
        {"multi-line string not closed", "\na = '''x\ny\n",
         "t:2:5: the string is not closed; its end is '''"},
        {"control in string", "a = 'x\x01'",
         "t:1:7: control character 0x01 in a string; write it as an escape"},
        {"control in comment", "# x\x7f\n", "t:1:4: control character 0x7f in a comment"},
        {"bare carriage return", "a = 1\rb = 2\n",
         "t:1:6: expected the end of the line, found the control character 0x0d"},
        {"unknown escape", "a = \"C:\\dir\"",
         "t:1:8: unknown escape '\\d'; write '\\\\' for a backslash"},
        {"short code point", "a = \"\\u12\"", "t:1:6: '\\u' needs 4 hexadecimal digits"},
        {"surrogate", "a = \"\\ud800\"", "t:1:6: U+D800 is no Unicode character"},
        {"leading zero", "a = 012", "t:1:5: '012' starts with a zero; decimal numbers may not"},
        {"integer too large", "a = 9223372036854775808",
         "t:1:5: '9223372036854775808' is out of range; integers have 64 bits"},
        {"float too large", "a = 1e400", "t:1:5: '1e400' is out of range; floats have 64 bits"},
        {"bad hexadecimal", "a = 0xfg", "t:1:5: '0xfg' is not a valid number of that base"},
        {"day", "a = 2023-02-29", "t:1:13: the month has no such day"},
        {"month", "a = 2023-13-01", "t:1:10: the month must be 01 to 12"},
        {"offset", "a = 2023-01-01T00:00:00+1", "t:1:24: the offset must be Z or +HH:MM or -HH:MM"},
        {"invalid UTF-8", "a = 1\nb = '\xff'\n", "t:2:6: the document is not valid UTF-8 here"},
        {"line after CR LF", "a = 1\r\nb = \r\n",
         "t:2:5: expected a value, found the end of the line"},
        {"column after a byte order mark",
         "\xef\xbb\xbf"
         "a",
         "t:1:2: expected '=' after a key, found the end of the file"},
        {"line in multi-line string", "a = '''\n\n''' x",
         "t:3:5: expected the end of the line, found 'x'"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct toml_document *document = NULL;
        struct error err = {0};
        int result = toml_parse("t", rows[i].text, strlen(rows[i].text), &document, &err);
        if (result != -1 || document != NULL || err.kind != ERROR_USAGE ||
            strcmp(err.message, rows[i].message) != 0) {
            fail_msg("%s: got '%s', expected '%s'", rows[i].name, err.message, rows[i].message);
        }
    }
}

static void test_nul_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t length;
        const char *message;
    } rows[] = {
        {"in a string", "a = 'x\0'", 8, "t:1:7: the document holds a NUL byte"},
        {"in a comment", "\n#\0", 3, "t:2:2: the document holds a NUL byte"},
        {"at the end", "a = 1\n\0", 7, "t:2:1: the document holds a NUL byte"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct toml_document *document = NULL;
        struct error err = {0};
        int result = toml_parse("t", rows[i].text, rows[i].length, &document, &err);
        if (result != -1 || strcmp(err.message, rows[i].message) != 0) {
            fail_msg("%s: got '%s'", rows[i].name, err.message);
        }
    }
}

static void test_lines(void **state)
{
    (void)state;
    static const char text[] = "# comment\n"
                               "top = 1\n"
                               "list = [\n"
                               "  1,\n"
                               "  { x = 1 },\n"
                               "]\n"
                               "s = \"\"\"\n"
                               "a \\\n"
                               "  b\n"
                               "\"\"\"\r\n"
                               "after = 1\n"
                               "[a.b]\n"
                               "c.d = 1\n"
                               "[a]\n"
                               "[[many]]\n"
                               "[[many]]\n";
    static const struct {
        const char *name, *path;
        unsigned line;
    } rows[] = {
        {"pair", "top", 2},
        {"array", "list", 3},
        {"element", "list.0", 4},
        {"inline table", "list.1", 5},
        {"pair of an inline table", "list.1.x", 5},
        {"multi-line string", "s", 7},
        {"after a multi-line string", "after", 11},
        {"table", "a.b", 12},
        {"table by dotted key", "a.b.c", 13},
        {"implied, then defined", "a", 14},
        {"array of tables", "many", 15},
        {"its second table", "many.1", 16},
    };
    cleanup_toml struct toml_document *document = parse(text);
    for (size_t i = 0; i < ROWS(rows); i++) {
        const struct toml_value *value = walk(document, rows[i].path);
        if (value == NULL || toml_line(value) != rows[i].line) {
            fail_msg("%s: line %u, expected %u", rows[i].name, value == NULL ? 0 : toml_line(value),
                     rows[i].line);
        }
    }
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *value;
    } rows[] = {
        {"empty", "a = \"\"", ""},
        {"escapes", "a = \"\\b\\t\\n\\f\\r\\\"\\\\\"", "\b\t\n\f\r\"\\"},
        {"code points", "a = \"\\u0041\\u00e9\\u20ac\\U0001F600\"",
         "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"literal", "a = 'C:\\n'", "C:\\n"},
        {"first line end dropped", "a = '''\nx\n'''", "x\n"},
        {"CR LF becomes LF", "a = '''\r\nx\r\ny'''", "x\ny"},
        {"continued line", "a = \"\"\"x \\  \n \n  y\"\"\"", "x y"},
        {"quotes before the end", "a = \"\"\"\"\"x\"\"\"\"\"", "\"\"x\"\""},
        {"tab", "a = 'x\ty'", "x\ty"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        cleanup_toml struct toml_document *document = parse(rows[i].text);
        const char *value = NULL;
        size_t length = 0;
        bool known = toml_get_string(walk(document, "a"), &value, &length);
        if (!known || length != strlen(rows[i].value) || strcmp(value, rows[i].value) != 0) {
            fail_msg("%s: got '%s'", rows[i].name, known ? value : "no string");
        }
    }
}

static void test_string_with_nul(void **state)
{
    (void)state;
    cleanup_toml struct toml_document *document = parse("a = \"x\\u0000y\"\n\"k\\u0000\" = 1\n");
    const char *value = "untouched";
    size_t length = 0;
    assert_false(toml_get_string(walk(document, "a"), &value, NULL));
    assert_string_equal(value, "untouched");
    assert_true(toml_get_string(walk(document, "a"), &value, &length));
    assert_int_equal(length, 3);
    assert_memory_equal(value, "x\0y", 4);
    const struct toml_text *key = &toml_next(walk(document, "a"))->key;
    assert_int_equal(key->length, 2);
    assert_memory_equal(key->bytes, "k\0", 3);
}

static void test_numbers(void **state)
{
    (void)state;
    cleanup_toml struct toml_document *document =
        parse("i = [-9223372036854775808, 9223372036854775807, 1_000, 0xdead_BEEF, 0o17, 0b101]\n"
              "f = [1.5, -2e3, 1_0.2_5]\n");
    static const int64_t integers[] = {INT64_MIN, INT64_MAX, 1000, 0xdeadbeef, 15, 5};
    static const double floats[] = {1.5, -2000, 10.25};
    const struct toml_value *value = toml_first(walk(document, "i"));
    for (size_t i = 0; i < ROWS(integers); i++, value = toml_next(value)) {
        int64_t integer = 0;
        assert_true(toml_get_integer(value, &integer));
        assert_true(integer == integers[i]);
    }
    assert_null(value);
    value = toml_first(walk(document, "f"));
    for (size_t i = 0; i < ROWS(floats); i++, value = toml_next(value)) {
        double number = 0;
        assert_true(toml_get_float(value, &number));
        assert_true(number == floats[i]);
    }
}

static void test_special_floats(void **state)
{
    (void)state;
    cleanup_toml struct toml_document *document = parse("a = -inf\nb = nan\nc = -0.0\n");
    double number = 0;
    assert_true(toml_get_float(walk(document, "a"), &number));
    assert_true(isinf(number) && number < 0);
    assert_true(toml_get_float(walk(document, "b"), &number));
    assert_true(isnan(number));
    assert_true(toml_get_float(walk(document, "c"), &number));
    assert_true(signbit(number));
}

static void test_datetimes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum toml_type type;
        struct toml_datetime when;
    } rows[] = {
        {"UTC", "a = 1979-05-27T07:32:01Z", TOML_OFFSET_DATETIME, {1979, 5, 27, 7, 32, 1, 0, 0}},
        {"offset",
         "a = 1979-05-27 07:32:01.5-07:30",
         TOML_OFFSET_DATETIME,
         {1979, 5, 27, 7, 32, 1, 500000000, -450}},
        {"local", "a = 2000-02-29t23:59:60", TOML_LOCAL_DATETIME, {2000, 2, 29, 23, 59, 60, 0, 0}},
        {"date", "a = 1979-05-27 # x", TOML_LOCAL_DATE, {1979, 5, 27, 0, 0, 0, 0, 0}},
        {"time, cut to ns",
         "a = 07:32:01.1234567899",
         TOML_LOCAL_TIME,
         {0, 0, 0, 7, 32, 1, 123456789, 0}},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        cleanup_toml struct toml_document *document = parse(rows[i].text);
        const struct toml_value *value = walk(document, "a");
        struct toml_datetime when;
        if (!toml_get_datetime(value, &when) || toml_type(value) != rows[i].type ||
            memcmp(&when, &rows[i].when, sizeof(when)) != 0) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void test_getters_refuse_other_types(void **state)
{
    (void)state;
    cleanup_toml struct toml_document *document =
        parse("i = 1\nf = 1.0\ns = ''\nb = true\nt = {}\n");
    const char *text = NULL;
    int64_t integer = 7;
    double number = 7;
    bool truth = false;
    struct toml_datetime when;
    assert_false(toml_get_string(walk(document, "i"), &text, NULL));
    assert_false(toml_get_integer(walk(document, "f"), &integer));
    assert_false(toml_get_float(walk(document, "i"), &number));
    assert_false(toml_get_bool(walk(document, "s"), &truth));
    assert_false(toml_get_datetime(walk(document, "b"), &when));
    assert_true(integer == 7 && number == 7);
    assert_true(toml_get_bool(walk(document, "b"), &truth) && truth);
    assert_null(toml_first(walk(document, "i")));
    assert_null(toml_first(walk(document, "s")));
    assert_string_equal(toml_type_name(toml_type(walk(document, "t"))), "a table");
}

static void test_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"z", "a", "m", "b"};
    cleanup_toml struct toml_document *document = parse("z = 1\na.x = 1\nm = 1\na.y = 2\n[b]\n");
    const struct toml_value *value = toml_first(toml_root(document));
    for (size_t i = 0; i < ROWS(keys); i++, value = toml_next(value)) {
        assert_string_equal(toml_key(value), keys[i]);
    }
    assert_null(value);
    assert_null(toml_key(toml_root(document)));
}

static void append_many(struct buffer *text, const char *piece, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(buffer_append_text(text, piece), 0);
    }
}

/* 'count' times 'open', 'middle', 'count' times 'close' */
static int parse_nested(const char *start, const char *open, const char *middle, const char *close,
                        int count, struct error *err)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, 2 * TOML_DOCUMENT_BYTES);
    append_many(&text, start, 1);
    append_many(&text, open, count);
    append_many(&text, middle, 1);
    append_many(&text, close, count);
    cleanup_toml struct toml_document *document = NULL;
    return toml_parse("t", text.bytes, text.length, &document, err);
}

static void test_depth(void **state)
{
    (void)state;
    static const struct {
        const char *name, *start, *open, *middle, *close;
        int fits; /* 0: do not try */
        const char *message;
    } rows[] = {
        {"arrays", "a=", "[", "1", "]", 64, "t:1:67: "},
        {"inline tables", "a=", "{b=", "1", "}", 64, "t:1:195: "},
        {"dotted key", "", "a.", "a = 1", "", 64, "t:1:129: "},
        {"table header", "[", "a.", "a]", "", 63, "t:1:130: "},
        {"array of tables", "[[", "a.", "a]]", "", 62, "t:1:129: "},
        {"a hundred thousand, not closed", "a=", "[", "", "", 0, "t:1:67: "},
    };
    static const char what[] = "tables and arrays are nested more than 64 deep";
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct error err = {0};
        if (rows[i].fits > 0 && parse_nested(rows[i].start, rows[i].open, rows[i].middle,
                                             rows[i].close, rows[i].fits, &err) < 0) {
            fail_msg("%s: %s", rows[i].name, err.message);
        }
        int beyond = rows[i].fits > 0 ? rows[i].fits + 1 : 100000;
        int result =
            parse_nested(rows[i].start, rows[i].open, rows[i].middle, rows[i].close, beyond, &err);
        size_t length = strlen(rows[i].message);
        if (result == 0 || strncmp(err.message, rows[i].message, length) != 0 ||
            strcmp(err.message + length, what) != 0) {
            fail_msg("%s: '%s'", rows[i].name, err.message);
        }
    }
}

static void test_size(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text;
    buffer_init(&text, 2 * TOML_DOCUMENT_BYTES);
    append_many(&text, "#23456789abcde\n#", TOML_DOCUMENT_BYTES / 16);
    cleanup_toml struct toml_document *document = parse_bytes(text.bytes, text.length);
    append_many(&text, " ", 1);
    struct toml_document *none = NULL;
    struct error err = {0};
    assert_int_equal(toml_parse("t", text.bytes, text.length, &none, &err), -1);
    assert_string_equal(err.message, "t:1:1: the document is larger than 1048576 bytes");
    assert_null(none);
}

static void test_empty(void **state)
{
    (void)state;
    cleanup_toml struct toml_document *document = parse_bytes(NULL, 0);
    assert_null(toml_first(toml_root(document)));
}

static void test_huge_key_in_message(void **state)
{
    (void)state;
    char text[2048];
    char key[512] = "";
    for (size_t i = 0; i + 2 < sizeof(key); i += 2) {
        memcpy(key + i, i == 0 ? "xx" : "\xc3\xa4", 3);
    }
    memmove(key, key + 1, strlen(key)); /* odd, so that 80 bytes end inside a character */
    (void)snprintf(text, sizeof(text), "'%s' = 1\n'%s' = 2\n", key, key);
    struct toml_document *document = NULL;
    struct error err = {0};
    assert_int_equal(toml_parse("t", text, strlen(text), &document, &err), -1);
    assert_int_equal(strlen(err.message),
                     strlen("t:2:1: '") + 79 + strlen("' is already defined on line 1"));
}

/* Of the processor, not of the wall: other work on the machine is no concern of the parser's. */
static int64_t processor_ms(void)
{
    struct timespec used;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void test_large_documents_are_fast(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
        int count;
    } rows[] = {
        {"keys in one table", "key%d=%d\n", 50000},
        {"tables", "[table%d]\na=%d\n", 40000},
        {"dotted keys", "a.b.c%d=%d\n", 50000},
        {"array of tables", "[[a]]\nb%d=%d\n", 40000},
        {"array of arrays", "k%d=[[],[],[],[%d]]\n", 40000},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        cleanup_buffer struct buffer text;
        buffer_init(&text, TOML_DOCUMENT_BYTES);
        for (int row = 0; row < rows[i].count; row++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            assert_int_equal(buffer_printf(&text, rows[i].format, row, row), 0);
#pragma GCC diagnostic pop
        }
        int64_t started_ms = processor_ms();
        cleanup_toml struct toml_document *document = parse_bytes(text.bytes, text.length);
        int64_t took_ms = processor_ms() - started_ms;
        if (took_ms > LARGE_DEADLINE_MS) {
            fail_msg("%s: %lld ms", rows[i].name, (long long)took_ms);
        }
    }
}

static void test_index_finds_every_key(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text;
    buffer_init(&text, TOML_DOCUMENT_BYTES);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buffer_printf(&text, "k%d=%d\n", i, i), 0);
    }
    cleanup_toml struct toml_document *document = parse_bytes(text.bytes, text.length);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        int64_t integer = -1;
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_true(toml_get_integer(walk(document, key), &integer));
        assert_int_equal(integer, i);
    }
    assert_null(walk(document, "k1000"));
    assert_int_equal(buffer_append_text(&text, "k500=1\n"), 0);
    struct toml_document *none = NULL;
    struct error err = {0};
    assert_int_equal(toml_parse("t", text.bytes, text.length, &none, &err), -1);
    assert_string_equal(err.message, "t:1001:1: 'k500' is already defined on line 501");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_nul_is_refused),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_string_with_nul),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_special_floats),
        cmocka_unit_test(test_datetimes),
        cmocka_unit_test(test_getters_refuse_other_types),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_huge_key_in_message),
        cmocka_unit_test(test_large_documents_are_fast),
        cmocka_unit_test(test_index_finds_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
