/* SPDX-License-Identifier: MIT */
/*
 * path.h - the table that a key refers to, and what may still be defined there.
 *
 * Private to the parser. The grammar is in parse.c; the rules on defining a table or a value once,
 * and on extending it later, are here. Functions return -1 or
 * NULL after filling scan.err; the document owns everything they create.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_PATH_H
#define BERTH_DRIVER_CONFIG_TOML_PATH_H

#include "driver/config/toml/scan.h"
#include "driver/config/toml/tree.h"

struct toml_parser {
    struct toml_scan scan;
    struct toml_document *document;
    struct toml_value *section; /* the table of the last header, or the root */
};

/* One part of a key and its position. */
struct toml_key {
    struct toml_text text;
    const char *where;
};

/* Reads "a.b.c" before a '=', from 'table' through a and b; gives b's table and the key c. */
int toml_read_dotted_key(struct toml_parser *parser, struct toml_value *table,
                         struct toml_value **out_table, struct toml_key *out_last);
/* The same in a header, from the root. */
int toml_read_header_key(struct toml_parser *parser, struct toml_value **out_table,
                         struct toml_key *out_last);

/* Every value of the tree comes from here. 'key' is NULL in arrays, and new to a table. */
struct toml_value *toml_add_value(struct toml_parser *parser, struct toml_value *parent,
                                  const struct toml_key *key);
/* Turns a value into a table or array. Scalars may be one level deeper. */
int toml_make_container(struct toml_parser *parser, struct toml_value *value, enum toml_type type,
                        enum toml_origin origin, const char *where);

/* The value that "key =" defines; there must be none yet. */
struct toml_value *toml_define_value(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);
/* The table that [key] defines: a new one, or one that was only implied before. */
struct toml_value *toml_define_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);
/* A further table of the array behind [[key]]. */
struct toml_value *toml_append_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);

#endif
