/* SPDX-License-Identifier: MIT */
/*
 * options.h - command line options as one table per program or command.
 *
 * A row is the only place an option is described: parsing, the environment twin, the default and
 * the line of --help come from it, and README's table is checked against --help by a test.
 * Precedence: command line, then environment, then the default that the caller put into the
 * struct beforehand. "--name value", "--name=value", both with one dash too, "-n value", "-nvalue",
 * flags in one word ("-gv") and "--" are understood; a word that is a name is no row of letters; an
 * environment variable that is empty counts as unset. Errors are of kind ERROR_USAGE and name the
 * option.
 */
#ifndef BERTH_OPTIONS_H
#define BERTH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

enum option_type {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, pointing into argv or the environment */
    OPTION_INTEGER,  /* int64_t */
    OPTION_DURATION, /* int64_t, milliseconds; see parse.h */
    OPTION_SIZE,     /* int64_t, bytes; see parse.h */
    OPTION_LIST,     /* struct option_list: one more entry each time the option is given */
    OPTION_CHOICE,   /* int, an index into the words of 'argument' ("keep|kill") */
};

#define OPTION_LIST_CEILING 32

struct option_list {
    const char *entries[OPTION_LIST_CEILING]; /* as OPTION_TEXT */
    size_t count;
};

struct option_row {
    const char *name; /* without the dashes; NULL: a heading, its text in 'help' */
    char letter;      /* 0: none */
    enum option_type type;
    const char *argument;     /* placeholder in --help, e.g. "ADDRESS:PORT"; NULL for flags */
    const char *environment;  /* variable read when the option is absent; NULL: none */
    const char *default_text; /* as shown in --help, with its unit; NULL: none */
    const char *help;         /* one line */
    size_t offset;            /* of the field in the struct given to options_parse() */
    int64_t minimum, maximum; /* for numbers; both 0: any that is not negative */
};

/* Fills the fields of 'target'. Stops at the first word that is no option (or after "--") and
 * stores its index in 'out_next'. */
int options_parse(const struct option_row *rows, size_t count, void *target, int argc,
                  char *const argv[], int *out_next, struct error *err)
    __attribute__((warn_unused_result));

/* The option lines of --help, aligned, each with default and environment variable. */
void options_print(FILE *out, const struct option_row *rows, size_t count);

#define OPTION_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#endif
