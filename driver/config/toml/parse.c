/* SPDX-License-Identifier: MIT */
/* The grammar of documents. In the order of the file: pairs, arrays and inline tables, other
 * values, headers, the document. */
#include <errno.h>
#include <string.h>

#include "driver/config/toml/datetime.h"
#include "driver/config/toml/number.h"
#include "driver/config/toml/path.h"
#include "driver/config/toml/scan.h"
#include "driver/config/toml/string.h"
#include "driver/config/toml/toml.h"
#include "driver/config/toml/tree.h"

static int read_value(struct toml_parser *parser, struct toml_value *value);

/* "key = value" into 'table'. */
static int read_pair(struct toml_parser *parser, struct toml_value *table)
{
    struct toml_key key;
    struct toml_value *parent = NULL;
    if (toml_read_dotted_key(parser, table, &parent, &key) < 0) {
        return -1;
    }
    if (!toml_take(&parser->scan, '=')) {
        return toml_fail_expected(&parser->scan, "'=' after a key");
    }
    struct toml_value *value = toml_define_value(parser, parent, &key);
    if (value == NULL) {
        return -1;
    }
    toml_skip_blanks(&parser->scan);
    return read_value(parser, value);
}

static int read_element(struct toml_parser *parser, struct toml_value *array)
{
    struct toml_value *value = toml_add_value(parser, array, NULL);
    if (value == NULL || read_value(parser, value) < 0) {
        return -1;
    }
    return toml_skip_lines(&parser->scan);
}

/* Line ends and comments are allowed everywhere, and a comma after the last element. */
static int read_array(struct toml_parser *parser, struct toml_value *value)
{
    struct toml_scan *scan = &parser->scan;
    if (toml_make_container(parser, value, TOML_ARRAY, TOML_INLINE, scan->at) < 0) {
        return -1;
    }
    scan->at++;
    do {
        if (toml_skip_lines(scan) < 0) {
            return -1;
        }
        if (toml_peek(scan, 0) == ']') {
            break;
        }
        if (read_element(parser, value) < 0) {
            return -1;
        }
    } while (toml_take(scan, ','));
    return toml_take(scan, ']') ? 0 : toml_fail_expected(scan, "',' or ']' in an array");
}

/* On one line, except inside its values; no comma after the last pair. */
static int read_inline_table(struct toml_parser *parser, struct toml_value *value)
{
    struct toml_scan *scan = &parser->scan;
    if (toml_make_container(parser, value, TOML_TABLE, TOML_INLINE, scan->at) < 0) {
        return -1;
    }
    scan->at++;
    toml_skip_blanks(scan);
    if (toml_take(scan, '}')) {
        return 0;
    }
    do {
        if (read_pair(parser, value) < 0) {
            return -1;
        }
        toml_skip_blanks(scan);
    } while (toml_take(scan, ','));
    return toml_take(scan, '}') ? 0 : toml_fail_expected(scan, "',' or '}' in an inline table");
}

static bool is_token_byte(int byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte > 0 && strchr("+-_.:", byte) != NULL);
}

static struct toml_text take_token(struct toml_scan *scan)
{
    const char *first = scan->at;
    while (is_token_byte(toml_peek(scan, 0))) {
        scan->at++;
    }
    bool date_alone = scan->at - first == 10 && toml_looks_like_date(first, 10);
    int after = toml_peek(scan, 1);
    if (date_alone && toml_peek(scan, 0) == ' ' && after >= '0' && after <= '9') {
        scan->at++; /* a blank may replace the T of a date-time */
        while (is_token_byte(toml_peek(scan, 0))) {
            scan->at++;
        }
    }
    return (struct toml_text){first, (size_t)(scan->at - first)};
}

static bool token_is(const struct toml_text *token, const char *word)
{
    return token->length == strlen(word) && memcmp(token->bytes, word, token->length) == 0;
}

/* Booleans, numbers, dates and times. */
static int read_token(struct toml_parser *parser, struct toml_value *value)
{
    struct toml_scan *scan = &parser->scan;
    struct toml_text token = take_token(scan);
    if (token.length == 0) {
        return toml_fail_expected(scan, "a value");
    }
    bool truth = token_is(&token, "true");
    if (truth || token_is(&token, "false")) {
        value->type = TOML_BOOL;
        value->truth = truth;
        return 0;
    }
    if (toml_looks_like_date(token.bytes, token.length) ||
        toml_looks_like_time(token.bytes, token.length)) {
        return toml_read_datetime(scan, &token, value);
    }
    return toml_read_number(scan, &token, value);
}

static int read_string(struct toml_parser *parser, struct toml_value *value)
{
    value->type = TOML_STRING;
    return toml_read_string(&parser->scan, &value->text);
}

/* Calls itself through arrays and inline tables, no deeper than toml_make_container() lets it. */
static int read_value(struct toml_parser *parser, struct toml_value *value)
{
    switch (toml_peek(&parser->scan, 0)) {
    case '"':
    case '\'':
        return read_string(parser, value);
    case '[':
        return read_array(parser, value);
    case '{':
        return read_inline_table(parser, value);
    default:
        return read_token(parser, value);
    }
}

/* "[a.b]" or "[[a.b]]"; the brackets of a pair touch. */
static int read_header(struct toml_parser *parser)
{
    struct toml_scan *scan = &parser->scan;
    scan->at++;
    bool twice = toml_take(scan, '[');
    struct toml_key key;
    struct toml_value *parent = NULL;
    if (toml_read_header_key(parser, &parent, &key) < 0) {
        return -1;
    }
    if (!toml_take(scan, ']') || (twice && !toml_take(scan, ']'))) {
        return toml_fail_expected(scan, twice ? "']]' after the name of a table"
                                              : "']' after the name of a table");
    }
    parser->section =
        twice ? toml_append_table(parser, parent, &key) : toml_define_table(parser, parent, &key);
    return parser->section == NULL ? -1 : 0;
}

/* One header or pair, up to the end of its line. */
static int read_expression(struct toml_parser *parser)
{
    struct toml_scan *scan = &parser->scan;
    int result =
        toml_peek(scan, 0) == '[' ? read_header(parser) : read_pair(parser, parser->section);
    if (result < 0 || toml_skip_comment(scan) < 0) {
        return -1;
    }
    if (scan->at < scan->end && !toml_take_newline(scan)) {
        return toml_fail_expected(scan, "the end of the line");
    }
    return 0;
}

static int read_document(struct toml_parser *parser)
{
    struct toml_scan *scan = &parser->scan;
    if (toml_skip_lines(scan) < 0) {
        return -1;
    }
    while (scan->at < scan->end) {
        if (read_expression(parser) < 0 || toml_skip_lines(scan) < 0) {
            return -1;
        }
    }
    return 0;
}

int toml_parse(const char *file, const char *text, size_t length,
               struct toml_document **out_document, struct error *err)
{
    const char *start = length == 0 ? "" : text; /* 'text' may be NULL then */
    struct toml_parser parser = {
        .scan = {.file = file,
                 .start = start,
                 .at = start,
                 .end = start + length,
                 .line = 1,
                 .err = err},
    };
    if (toml_scan_check(&parser.scan) < 0) {
        return -1;
    }
    cleanup_toml struct toml_document *document = toml_tree_new(length + 1);
    if (document == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "%s: cannot keep the document", file);
    }
    parser.document = document;
    parser.section = toml_tree_root(document);
    parser.scan.text = toml_tree_text(document);
    if (read_document(&parser) < 0) {
        return -1;
    }
    *out_document = document;
    document = NULL;
    return 0;
}
