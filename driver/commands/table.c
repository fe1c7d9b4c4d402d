/* SPDX-License-Identifier: MIT */
#include "driver/commands/table.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/escape.h"
#include "common/utf8.h"
#include "driver/base/terminal.h"

#define GAP        2
#define CUT_SIGN   "…"
#define FIRST_ROOM 32

/* The bytes of the first characters of escaped text that fit into so many columns, which East Asian
 * ones take two of and combining ones none. musl knows widths in every locale; another C library
 * knows those of ASCII in the locale C, and the others count as one. */
static size_t bytes_of(const char *text, size_t columns, size_t *out_used)
{
    size_t at = 0;
    size_t used = 0;
    while (text[at] != '\0') {
        const unsigned char *next = (const unsigned char *)text + at;
        size_t bytes = utf8_length(next, strnlen(text + at, 4));
        int width = bytes == 0 ? 1 : wcwidth((wchar_t)utf8_decode(next, bytes));
        size_t wanted = width < 0 ? 1 : (size_t)width;
        if (wanted > columns - used) {
            break;
        }
        used += wanted;
        at += bytes == 0 ? 1 : bytes;
    }
    *out_used = used;
    return at;
}

static size_t columns_of(const char *text)
{
    size_t used = 0;
    (void)bytes_of(text, SIZE_MAX, &used);
    return used;
}

static char *escaped(const char *text)
{
    text = text == NULL || text[0] == '\0' ? "-" : text;
    size_t length = strlen(text);
    size_t room = length * ESCAPE_WORST + 1;
    char *copy = malloc(room);
    if (copy != NULL) {
        (void)escape(copy, room, text, length, ESCAPE_TEXT);
    }
    return copy;
}

int table_add(struct table *table, const char *const *cells)
{
    if (table->row_count == table->room) {
        size_t room = table->room == 0 ? FIRST_ROOM : table->room * 2;
        char **more = reallocarray(table->cells, room * table->column_count, sizeof(char *));
        if (more == NULL) {
            return -1;
        }
        table->cells = more;
        table->room = room;
    }
    char **row = table->cells + table->row_count * table->column_count;
    bool ok = true;
    for (size_t i = 0; i < table->column_count; i++) {
        row[i] = escaped(cells[i]);
        ok = ok && row[i] != NULL;
    }
    for (size_t i = 0; i < table->column_count && !ok; i++) {
        free(row[i]);
    }
    table->row_count += ok ? 1 : 0;
    return ok ? 0 : -1;
}

/* What the columns need: now, or once they have shrunk as far as they may. */
static size_t total_width(const struct table *table, const size_t *widths, bool least)
{
    size_t total = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        size_t width = widths[i];
        if (least && table->columns[i].least > 0 && table->columns[i].least < width) {
            width = table->columns[i].least;
        }
        total += width > 0 ? width + (total > 0 ? GAP : 0) : 0;
    }
    return total;
}

/* Leaves out columns, which then have the width 0. */
static void leave_out(const struct table *table, size_t widths[TABLE_COLUMNS], size_t width)
{
    while (total_width(table, widths, true) > width) {
        size_t worst = TABLE_COLUMNS;
        for (size_t i = 0; i < table->column_count; i++) {
            if (widths[i] > 0 && table->columns[i].rank > 0 &&
                (worst == TABLE_COLUMNS || table->columns[i].rank > table->columns[worst].rank)) {
                worst = i;
            }
        }
        if (worst == TABLE_COLUMNS) {
            return;
        }
        widths[worst] = 0;
    }
}

/* Takes one terminal column at a time from the widest column that may give one. */
static void shrink(const struct table *table, size_t widths[TABLE_COLUMNS], size_t width)
{
    for (size_t total = total_width(table, widths, false); total > width; total--) {
        size_t widest = TABLE_COLUMNS;
        for (size_t i = 0; i < table->column_count; i++) {
            size_t least = table->columns[i].least;
            if (least > 0 && widths[i] > least &&
                (widest == TABLE_COLUMNS || widths[i] > widths[widest])) {
                widest = i;
            }
        }
        if (widest == TABLE_COLUMNS) {
            return;
        }
        widths[widest]--;
    }
}

static void print_cell(FILE *out, const char *text, size_t width, bool last)
{
    size_t length = columns_of(text);
    if (length > width) {
        size_t bytes = bytes_of(text, width - 1, &length);
        (void)fprintf(out, "%.*s%s", (int)bytes, text, CUT_SIGN);
        length++;
    } else {
        (void)fputs(text, out);
    }
    if (!last) {
        (void)fprintf(out, "%*s", (int)(width - length + GAP), "");
    }
}

void table_print(const struct table *table, FILE *out, size_t width)
{
    size_t widths[TABLE_COLUMNS] = {0};
    if (table->row_count == 0) {
        return;
    }
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = columns_of(table->columns[i].heading);
        for (size_t row = 0; row < table->row_count; row++) {
            size_t length = columns_of(table->cells[row * table->column_count + i]);
            widths[i] = length > widths[i] ? length : widths[i];
        }
    }
    width = width > 0 ? width : terminal_width(fileno(out)); /* -1 of a memory stream is none */
    if (width > 0) {
        leave_out(table, widths, width);
        shrink(table, widths, width);
    }
    size_t last = table->column_count - 1;
    while (last > 0 && widths[last] == 0) {
        last--;
    }
    for (size_t row = 0; row <= table->row_count; row++) {
        for (size_t i = 0; i <= last; i++) {
            if (widths[i] == 0) {
                continue;
            }
            const char *text = row == 0 ? table->columns[i].heading
                                        : table->cells[(row - 1) * table->column_count + i];
            print_cell(out, text, widths[i], i == last);
        }
        (void)fputc('\n', out);
    }
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->row_count * table->column_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    table->row_count = table->room = 0;
}
