/* SPDX-License-Identifier: MIT */
/* In the order of the file: errors, what may be added to a tree, the tables that keys lead through,
 * what keys and headers define. */
#include "driver/config/toml/path.h"

#include <errno.h>
#include <string.h>

#include "driver/config/toml/string.h"

#define KEY_SHOWN_BYTES 80

/* Finds or makes the table that a part of a path leads to; NULL after failing. */
typedef struct toml_value *step_fn(struct toml_parser *parser, struct toml_value *table,
                                   const struct toml_key *key);

/* How much of a key a message shows: at most a prefix of whole characters. */
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

static struct toml_value *fail_key(struct toml_parser *parser, const struct toml_key *key,
                                   const char *what, const struct toml_value *earlier)
{
    (void)toml_fail(&parser->scan, key->where, "'%.*s' %s on line %u", shown_length(&key->text),
                    key->text.bytes, what, earlier->line);
    return NULL;
}

struct toml_value *toml_add_value(struct toml_parser *parser, struct toml_value *parent,
                                  const struct toml_key *key)
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

int toml_make_container(struct toml_parser *parser, struct toml_value *value, enum toml_type type,
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

static struct toml_value *add_table(struct toml_parser *parser, struct toml_value *parent,
                                    const struct toml_key *key, enum toml_origin origin)
{
    struct toml_value *value = toml_add_value(parser, parent, key);
    if (value == NULL || toml_make_container(parser, value, TOML_TABLE, origin, key->where) < 0) {
        return NULL;
    }
    return value;
}

static int read_key_part(struct toml_parser *parser, struct toml_key *out_key)
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
static int read_path(struct toml_parser *parser, struct toml_value *table, step_fn *step,
                     struct toml_value **out_table, struct toml_key *out_last)
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
 * by a header before. A table that another section's dotted keys defined cannot occur here: its
 * path leads through that section's table, which is BY_HEADER. */
static struct toml_value *step_dotted(struct toml_parser *parser, struct toml_value *table,
                                      const struct toml_key *key)
{
    struct toml_value *found = toml_tree_find(table, &key->text);
    if (found == NULL) {
        return add_table(parser, table, key, TOML_BY_DOTS);
    }
    if (found->type != TOML_TABLE) {
        return fail_key(parser, key, "is not a table; it was defined", found);
    }
    if (found->origin != TOML_BY_PATH && found->origin != TOML_BY_DOTS) {
        return fail_key(parser, key, "cannot be extended by dotted keys; it was defined", found);
    }
    found->origin = TOML_BY_DOTS;
    return found;
}

/* Headers may go through any table but inline ones, and to the last table of [[arrays]]. */
static struct toml_value *step_header(struct toml_parser *parser, struct toml_value *table,
                                      const struct toml_key *key)
{
    struct toml_value *found = toml_tree_find(table, &key->text);
    if (found == NULL) {
        return add_table(parser, table, key, TOML_BY_PATH);
    }
    if (found->type == TOML_ARRAY && found->origin == TOML_BY_DOUBLE) {
        return found->children.last;
    }
    if (found->type != TOML_TABLE) {
        return fail_key(parser, key, "is not a table; it was defined", found);
    }
    if (found->origin == TOML_INLINE) {
        return fail_key(parser, key, "cannot be extended: it is an inline table", found);
    }
    return found;
}

int toml_read_dotted_key(struct toml_parser *parser, struct toml_value *table,
                         struct toml_value **out_table, struct toml_key *out_last)
{
    return read_path(parser, table, step_dotted, out_table, out_last);
}

int toml_read_header_key(struct toml_parser *parser, struct toml_value **out_table,
                         struct toml_key *out_last)
{
    struct toml_value *root = toml_tree_root(parser->document);
    return read_path(parser, root, step_header, out_table, out_last);
}

struct toml_value *toml_define_value(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key)
{
    const struct toml_value *earlier = toml_tree_find(parent, &key->text);
    if (earlier != NULL) {
        return fail_key(parser, key, "is already defined", earlier);
    }
    return toml_add_value(parser, parent, key);
}

struct toml_value *toml_define_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key)
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

struct toml_value *toml_append_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key)
{
    struct toml_value *array = toml_tree_find(parent, &key->text);
    if (array == NULL) {
        array = toml_add_value(parser, parent, key);
        if (array == NULL ||
            toml_make_container(parser, array, TOML_ARRAY, TOML_BY_DOUBLE, key->where) < 0) {
            return NULL;
        }
    }
    if (array->type != TOML_ARRAY || array->origin != TOML_BY_DOUBLE) {
        return fail_key(parser, key, "is not an array of tables; it was defined", array);
    }
    struct toml_value *table = toml_add_value(parser, array, NULL);
    if (table == NULL ||
        toml_make_container(parser, table, TOML_TABLE, TOML_BY_HEADER, key->where) < 0) {
        return NULL;
    }
    return table;
}
