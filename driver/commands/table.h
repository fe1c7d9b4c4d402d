/* SPDX-License-Identifier: MIT */
/*
 * table.h - a table for people: columns as wide as their cells, and not wider than the terminal, on
 * which a character takes 0, 1 or 2 columns.
 *
 * Cells are escaped (escape.h). On a terminal the columns that may shrink do so, the widest first,
 * a cut cell ends in "…", and columns that do not fit even so are left out; elsewhere nothing is.
 * table_add() copies; table_done() frees.
 */
#ifndef BERTH_DRIVER_COMMANDS_TABLE_H
#define BERTH_DRIVER_COMMANDS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS 16

struct table_column {
    const char *heading;
    size_t least; /* terminal columns that remain of a column that may shrink; 0: it may not */
    int rank;     /* the highest is left out first if all do not fit; 0: never */
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    char **cells; /* of all rows */
    size_t row_count, room;
};

/* 'cells': one text for each column; NULL or "": "-". Returns -1 without memory. */
int table_add(struct table *table, const char *const *cells) __attribute__((warn_unused_result));

/* With the heading, if there are rows. 'width' 0: the terminal's, if 'out' is one. */
void table_print(const struct table *table, FILE *out, size_t width);
void table_done(struct table *table);

#endif
