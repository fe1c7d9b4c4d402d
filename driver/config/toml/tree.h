/* SPDX-License-Identifier: MIT */
/*
 * tree.h - the tree of toml.h, for the parser that builds it.
 *
 * Private to the parser. All nodes come from an arena that the document owns, so that a
 * partial tree is freed like a complete one. Large tables have a hash index, so that tens of
 * thousands of keys in one table stay fast. The only failure is missing memory: NULL.
 */
#ifndef BERTH_DRIVER_CONFIG_TOML_TREE_H
#define BERTH_DRIVER_CONFIG_TOML_TREE_H

#include "driver/config/toml/toml.h"

/* How a table was defined; it decides what may still be added to it. */
enum toml_origin {
    TOML_BY_PATH,   /* on the way to a header's last part; a header of its own may follow */
    TOML_BY_HEADER, /* [table] or [[table]]: defined, takes sub-tables by header only */
    TOML_BY_DOTS,   /* by dotted keys: takes more dotted keys, and sub-tables by header */
    TOML_INLINE,    /* { } and [ ]: complete at once, takes nothing */
    TOML_BY_DOUBLE, /* the array behind [[table]] headers: takes more of them */
};

struct toml_text {
    const char *bytes;
    size_t length;
};

/* Children in document order; an index only for tables that have grown. */
struct toml_children {
    struct toml_value *first, *last;
    size_t count;
    struct toml_value **buckets; /* NULL: few enough to look at each */
    size_t bucket_count;         /* a power of two */
};

struct toml_value {
    enum toml_type type;
    enum toml_origin origin; /* of tables and arrays */
    unsigned line;
    unsigned depth; /* 0: the root */
    uint32_t hash;  /* of the key */
    struct toml_text key;
    struct toml_value *next;        /* of the same parent */
    struct toml_value *bucket_next; /* of the same bucket */
    union {
        struct toml_children children;
        struct toml_text text;
        int64_t integer;
        double number;
        bool truth;
        struct toml_datetime datetime;
    };
};

/* An empty document with room for 'text_bytes' of decoded strings and keys. */
struct toml_document *toml_tree_new(size_t text_bytes);
struct toml_value *toml_tree_root(struct toml_document *document);
char *toml_tree_text(struct toml_document *document);

/* Appends an empty table to 'parent'; the caller sets its type. 'key' is NULL for
 * elements of arrays, and must be new to the table otherwise. */
struct toml_value *toml_tree_add(struct toml_document *document, struct toml_value *parent,
                                 const struct toml_text *key, unsigned line);
struct toml_value *toml_tree_find(const struct toml_value *table, const struct toml_text *key);

#endif
