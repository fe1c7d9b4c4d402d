/* SPDX-License-Identifier: MIT */
/*
 * toml-decoder - what the toml-test suite asks of a parser: a document on stdin becomes JSON with
 * a type on every value on stdout; anything that is no TOML becomes a message and exit status 1.
 */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "common/buffer.h"
#include "driver/config/toml/toml.h"
#include "driver/config/toml/tree.h"

static void print_text(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            printf("\\u%04x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('"');
}

static void print_float(const struct toml_value *value)
{
    double number = 0;
    (void)toml_get_float(value, &number);
    if (isnan(number)) {
        printf("\"nan\"");
    } else {
        printf("\"%.17g\"", number);
    }
}

static void print_date(const struct toml_datetime *when)
{
    printf("%04d-%02d-%02d", when->year, when->month, when->day);
}

static void print_time(const struct toml_datetime *when)
{
    printf("%02d:%02d:%02d", when->hour, when->minute, when->second);
    if (when->nanosecond != 0) {
        printf(".%09d", when->nanosecond);
    }
}

static void print_offset(int minutes)
{
    int size = minutes < 0 ? -minutes : minutes;
    printf("%c%02d:%02d", minutes < 0 ? '-' : '+', size / 60, size % 60);
}

static void print_datetime(const struct toml_value *value)
{
    enum toml_type type = toml_type(value);
    struct toml_datetime when = {0};
    (void)toml_get_datetime(value, &when);
    putchar('"');
    if (type != TOML_LOCAL_TIME) {
        print_date(&when);
    }
    if (type == TOML_OFFSET_DATETIME || type == TOML_LOCAL_DATETIME) {
        putchar('T');
    }
    if (type != TOML_LOCAL_DATE) {
        print_time(&when);
    }
    if (type == TOML_OFFSET_DATETIME) {
        print_offset(when.offset_minutes);
    }
    putchar('"');
}

static void print_string(const struct toml_value *value)
{
    const char *text = NULL;
    size_t length = 0;
    (void)toml_get_string(value, &text, &length);
    print_text(text, length);
}

static void print_integer(const struct toml_value *value)
{
    int64_t integer = 0;
    (void)toml_get_integer(value, &integer);
    printf("\"%lld\"", (long long)integer);
}

static void print_bool(const struct toml_value *value)
{
    bool truth = false;
    (void)toml_get_bool(value, &truth);
    printf(truth ? "\"true\"" : "\"false\"");
}

struct scalar {
    const char *tag;
    void (*print)(const struct toml_value *value);
};

static const struct scalar scalars[] = {
    [TOML_STRING] = {"string", print_string},
    [TOML_INTEGER] = {"integer", print_integer},
    [TOML_FLOAT] = {"float", print_float},
    [TOML_BOOL] = {"bool", print_bool},
    [TOML_OFFSET_DATETIME] = {"datetime", print_datetime},
    [TOML_LOCAL_DATETIME] = {"datetime-local", print_datetime},
    [TOML_LOCAL_DATE] = {"date-local", print_datetime},
    [TOML_LOCAL_TIME] = {"time-local", print_datetime},
};

static void print_value(const struct toml_value *value);

static void print_children(const struct toml_value *container)
{
    const struct toml_value *child = toml_first(container);
    for (; child != NULL; child = toml_next(child)) {
        if (toml_key(child) != NULL) {
            print_text(child->key.bytes, child->key.length);
            putchar(':');
        }
        print_value(child);
        if (toml_next(child) != NULL) {
            putchar(',');
        }
    }
}

static void print_value(const struct toml_value *value)
{
    enum toml_type type = toml_type(value);
    if (type == TOML_TABLE || type == TOML_ARRAY) {
        putchar(type == TOML_TABLE ? '{' : '[');
        print_children(value);
        putchar(type == TOML_TABLE ? '}' : ']');
        return;
    }
    printf("{\"type\":\"%s\",\"value\":", scalars[type].tag);
    scalars[type].print(value);
    putchar('}');
}

/* The buffer holds more than the ceiling, so that it is the parser who refuses what is too large.
 */
static int read_stdin(struct buffer *out)
{
    char piece[4096];
    ssize_t length;
    while ((length = read(STDIN_FILENO, piece, sizeof(piece))) > 0) {
        if (buffer_append(out, piece, (size_t)length) < 0) {
            return -1;
        }
    }
    return length < 0 ? -1 : 0;
}

int main(void)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, 2 * TOML_DOCUMENT_BYTES);
    if (read_stdin(&text) < 0) {
        (void)fprintf(stderr, "cannot read the document\n");
        return 2;
    }
    cleanup_toml struct toml_document *document = NULL;
    struct error err = {0};
    if (toml_parse("stdin", text.bytes, text.length, &document, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    print_value(toml_root(document));
    putchar('\n');
    return 0;
}
