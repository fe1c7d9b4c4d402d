/* SPDX-License-Identifier: MIT */
/*
 * toml_path.h - which table a key leads to, and what may still be defined there.
 *
 * Private to the parser. The grammar in toml_parse.c reads what stands around keys; the rules on
 * defining a table or a value once, and on extending it later, are here. Functions return -1 or
 * NULL after filling scan.err; the document owns all that they make.
 */
#ifndef BERTH_DRIVER_TOML_PATH_H
#define BERTH_DRIVER_TOML_PATH_H

#include "driver/toml_scan.h"
#include "driver/toml_tree.h"

struct toml_parser {
    struct toml_scan scan;
    struct toml_document *document;
    struct toml_value *section; /* the table of the last header, or the root */
};

/* One part of a key and where it stands. */
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
/* Makes a table or array of a value. Scalars may be one deeper than the deepest of those. */
int toml_make_container(struct toml_parser *parser, struct toml_value *value, enum toml_type type,
                        enum toml_origin origin, const char *where);

/* The value that "key =" defines; there must be none yet. */
struct toml_value *toml_define_value(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);
/* The table that [key] defines: a new one, or one that so far was only implied. */
struct toml_value *toml_define_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);
/* A further table of the array behind [[key]]. */
struct toml_value *toml_append_table(struct toml_parser *parser, struct toml_value *parent,
                                     const struct toml_key *key);

#endif
