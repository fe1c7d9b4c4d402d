/* SPDX-License-Identifier: MIT */
/* The grammar of documents: tables, keys, arrays. In the order of the file: errors, keys and the
 * tables they lead through, values, headers, the document. */
#include <errno.h>
#include <string.h>

#include "driver/toml.h"
#include "driver/toml_datetime.h"
#include "driver/toml_number.h"
#include "driver/toml_scan.h"
#include "driver/toml_string.h"
#include "driver/toml_tree.h"

#define KEY_SHOWN_BYTES 80

struct parser {
    struct toml_scan scan;
    struct toml_document *document;
    struct toml_value *section; /* the table of the last header, or the root */
};

/* One part of a key and where it stands. */
struct key {
    struct toml_text text;
    const char *where;
};

/* Finds or makes the table that a part of a path leads to; NULL after failing. */
typedef struct toml_value *step_fn(struct parser *parser, struct toml_value *table,
                                   const struct key *key);

static int read_value(struct parser *parser, struct toml_value *value);

/* How much of a key a message shows: not all of a huge one, and no broken character. */
static int shown_length(const struct toml_text *key)
{
    if (key->length <= KEY_SHOWN_BYTES) {
        return (int)key->length;
    }
    int length = KEY_SHOWN_BYTES;
    while (length > 0 && ((unsigned char)key->bytes[length] & 0xC0) == 0x80) {
        length--;
    }
    return length;
}

static struct toml_value *fail_key(struct parser *parser, const struct key *key, const char *what,
                                   const struct toml_value *earlier)
{
    (void)toml_fail(&parser->scan, key->where, "'%.*s' %s on line %u", shown_length(&key->text),
                    key->text.bytes, what, earlier->line);
    return NULL;
}

/* Every value of the tree comes from here. 'key' is NULL in arrays. */
static struct toml_value *add_value(struct parser *parser, struct toml_value *parent,
                                    const struct key *key)
{
    struct toml_scan *scan = &parser->scan;
    const struct toml_text *text = key == NULL ? NULL : &key->text;
    struct toml_value *value = toml_tree_add(parser->document, parent, text, scan->line);
    if (value == NULL) {
        (void)error_set(scan->err, ERROR_SYSTEM, ENOMEM, "%s: cannot keep the document",
                        scan->file);
    }
    return value;
}

/* Scalars may be one deeper than the deepest table or array. */
static int make_container(struct parser *parser, struct toml_value *value, enum toml_type type,
                          enum toml_origin origin, const char *where)
{
    if (value->depth > TOML_DEPTH) {
        return toml_fail(&parser->scan, where, "tables and arrays are nested more than %d deep",
                         TOML_DEPTH);
    }
    memset(&value->children, 0, sizeof(value->children));
    value->type = type;
    value->origin = origin;
    return 0;
}

static struct toml_value *add_table(struct parser *parser, struct toml_value *parent,
                                    const struct key *key, enum toml_origin origin)
{
    struct toml_value *value = add_value(parser, parent, key);
    if (value == NULL || make_container(parser, value, TOML_TABLE, origin, key->where) < 0) {
        return NULL;
    }
    return value;
}

static int read_key_part(struct parser *parser, struct key *out_key)
{
    toml_skip_blanks(&parser->scan);
    out_key->where = parser->scan.at;
    if (toml_read_key(&parser->scan, &out_key->text) < 0) {
        return -1;
    }
    toml_skip_blanks(&parser->scan);
    return 0;
}

/* Reads "a.b.c", stepping from 'table' through a and b; gives b's table and the key c. */
static int read_path(struct parser *parser, struct toml_value *table, step_fn *step,
                     struct toml_value **out_table, struct key *out_last)
{
    if (read_key_part(parser, out_last) < 0) {
        return -1;
    }
    while (toml_take(&parser->scan, '.')) {
        table = step(parser, table, out_last);
        if (table == NULL || read_key_part(parser, out_last) < 0) {
            return -1;
        }
    }
    *out_table = table;
    return 0;
}

/* Dotted keys define the tables on their way, so those must be new, their own, or merely implied
 * by a header before. One that another section's dotted keys defined cannot be met here: the way
 * to it would lead through that section's table, which is BY_HEADER. */
static struct toml_value *step_dotted(struct parser *parser, struct toml_value *table,
                                      const struct key *key)
{
    struct toml_value *found = toml_tree_find(table, &key->text);
    if (found == NULL) {
        return add_table(parser, table, key, TOML_BY_DOTS);
    }
    if (found->type != TOML_TABLE) {
        return fail_key(parser, key, "is no table; it was defined", found);
    }
    if (found->origin != TOML_BY_PATH && found->origin != TOML_BY_DOTS) {
        return fail_key(parser, key, "cannot be extended by dotted keys; it was defined", found);
    }
    found->origin = TOML_BY_DOTS;
    return found;
}

/* Headers may go through any table but inline ones, and to the last table of [[arrays]]. */
static struct toml_value *step_header(struct parser *parser, struct toml_value *table,
                                      const struct key *key)
{
    struct toml_value *found = toml_tree_find(table, &key->text);
    if (found == NULL) {
        return add_table(parser, table, key, TOML_BY_PATH);
    }
    if (found->type == TOML_ARRAY && found->origin == TOML_BY_DOUBLE) {
        return found->children.last;
    }
    if (found->type != TOML_TABLE) {
        return fail_key(parser, key, "is no table; it was defined", found);
    }
    if (found->origin == TOML_INLINE) {
        return fail_key(parser, key, "is an inline table, complete as it stands", found);
    }
    return found;
}

/* "key = value" into 'table'. */
static int read_pair(struct parser *parser, struct toml_value *table)
{
    struct key key;
    struct toml_value *parent = NULL;
    if (read_path(parser, table, step_dotted, &parent, &key) < 0) {
        return -1;
    }
    if (!toml_take(&parser->scan, '=')) {
        return toml_fail_expected(&parser->scan, "'=' after a key");
    }
    const struct toml_value *earlier = toml_tree_find(parent, &key.text);
    if (earlier != NULL) {
        (void)fail_key(parser, &key, "is already defined", earlier);
        return -1;
    }
    struct toml_value *value = add_value(parser, parent, &key);
    if (value == NULL) {
        return -1;
    }
    toml_skip_blanks(&parser->scan);
    return read_value(parser, value);
}

static int read_element(struct parser *parser, struct toml_value *array)
{
    struct toml_value *value = add_value(parser, array, NULL);
    if (value == NULL || read_value(parser, value) < 0) {
        return -1;
    }
    return toml_skip_lines(&parser->scan);
}

/* Line ends and comments may stand everywhere in it, and a comma after the last element. */
static int read_array(struct parser *parser, struct toml_value *value)
{
    struct toml_scan *scan = &parser->scan;
    if (make_container(parser, value, TOML_ARRAY, TOML_INLINE, scan->at) < 0) {
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

/* All on one line (but for what its values contain), no comma after the last pair. */
static int read_inline_table(struct parser *parser, struct toml_value *value)
{
    struct toml_scan *scan = &parser->scan;
    if (make_container(parser, value, TOML_TABLE, TOML_INLINE, scan->at) < 0) {
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
        scan->at++; /* a blank may stand for the T of a date-time */
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
static int read_token(struct parser *parser, struct toml_value *value)
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

static int read_string(struct parser *parser, struct toml_value *value)
{
    value->type = TOML_STRING;
    return toml_read_string(&parser->scan, &value->text);
}

/* Calls itself through arrays and inline tables, no deeper than make_container() lets it. */
static int read_value(struct parser *parser, struct toml_value *value)
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

/* The table that [key] defines: a new one, or one that so far was only implied. */
static struct toml_value *define_table(struct parser *parser, struct toml_value *parent,
                                       const struct key *key)
{
    struct toml_value *found = toml_tree_find(parent, &key->text);
    if (found == NULL) {
        return add_table(parser, parent, key, TOML_BY_HEADER);
    }
    if (found->type != TOML_TABLE || found->origin != TOML_BY_PATH) {
        return fail_key(parser, key, "is already defined", found);
    }
    found->origin = TOML_BY_HEADER;
    found->line = parser->scan.line;
    return found;
}

/* A further table of the array behind [[key]]. */
static struct toml_value *append_table(struct parser *parser, struct toml_value *parent,
                                       const struct key *key)
{
    struct toml_value *array = toml_tree_find(parent, &key->text);
    if (array == NULL) {
        array = add_value(parser, parent, key);
        if (array == NULL ||
            make_container(parser, array, TOML_ARRAY, TOML_BY_DOUBLE, key->where) < 0) {
            return NULL;
        }
    }
    if (array->type != TOML_ARRAY || array->origin != TOML_BY_DOUBLE) {
        return fail_key(parser, key, "is no array of tables; it was defined", array);
    }
    struct toml_value *table = add_value(parser, array, NULL);
    if (table == NULL ||
        make_container(parser, table, TOML_TABLE, TOML_BY_HEADER, key->where) < 0) {
        return NULL;
    }
    return table;
}

/* "[a.b]" or "[[a.b]]"; the brackets of a pair touch. */
static int read_header(struct parser *parser)
{
    struct toml_scan *scan = &parser->scan;
    scan->at++;
    bool twice = toml_take(scan, '[');
    struct key key;
    struct toml_value *parent = NULL;
    struct toml_value *root = toml_tree_root(parser->document);
    if (read_path(parser, root, step_header, &parent, &key) < 0) {
        return -1;
    }
    if (!toml_take(scan, ']') || (twice && !toml_take(scan, ']'))) {
        return toml_fail_expected(scan, twice ? "']]' after the name of a table"
                                              : "']' after the name of a table");
    }
    step_fn *define = twice ? append_table : define_table;
    parser->section = define(parser, parent, &key);
    return parser->section == NULL ? -1 : 0;
}

/* One header or pair, up to the end of its line. */
static int read_expression(struct parser *parser)
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

static int read_document(struct parser *parser)
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
    struct parser parser = {
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
