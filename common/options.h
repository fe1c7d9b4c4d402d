/* SPDX-License-Identifier: MIT */
/*
 * options.h - command line options, as one table per program or command.
 *
 * A row describes an option completely: parsing, environment variable, default, --help and
 * docs/reference.md use it. The command line wins over the environment, and both over the default
 * that the caller stored in the struct beforehand. Accepted forms: "--name value", "--name=value",
 * both with one dash as well, "-n value", "-nvalue", several flags in one word ("-gv"), and "--".
 * A word that is an option's name is never read as letters. An empty environment variable counts
 * as unset. Errors are of kind ERROR_USAGE and name the option.
 */
#ifndef BERTH_COMMON_OPTIONS_H
#define BERTH_COMMON_OPTIONS_H

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
    OPTION_LIST,     /* struct option_list: one entry each time the option is given */
    OPTION_CHOICE,   /* int, an index into the choices in 'argument' ("keep|kill") */
};

#define OPTION_LIST_CEILING 32
#define OPTION_HELP_COLUMN  32 /* where the help of an option begins */
#define OPTION_HELP_WIDTH   80

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
    const char *help;         /* one sentence; NULL: accepted, not shown */
    size_t offset;            /* of the field in the struct given to options_parse() */
    int64_t minimum, maximum; /* for numbers; both 0: any that is not negative */
};

/* Fills the fields of 'target'. Stops at the first word that is not an option, or after "--", and
 * stores the index of that word in 'out_next'; if it fails for an unknown option, that one's. */
int options_parse(const struct option_row *rows, size_t count, void *target, int argc,
                  char *const argv[], int *out_next, struct error *err)
    __attribute__((warn_unused_result));

/* The options for --help, each with default and environment variable, in at most 80 columns. */
void options_print(FILE *out, const struct option_row *rows, size_t count);

/* One exit status, or several with one meaning. */
struct option_status {
    const char *status, *meaning;
};

/* "Exit status:" and the rows, as options_print(). */
void options_print_statuses(FILE *out, const struct option_status *rows, size_t count);

/* Prints 'text' and a newline, broken between words at 80 columns. 'column' is where the output
 * stands; further lines are indented by 'indent'. */
void options_print_text(FILE *out, int column, int indent, const char *text);
/* The same at 'width' columns. */
void options_wrap_text(FILE *out, int width, int column, int indent, const char *text);

#define OPTION_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#endif
