/* SPDX-License-Identifier: MIT */
#include "common/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/parse.h"

static void write_number(const struct option_row *row, int64_t number, char out[PARSE_TEXT_BYTES])
{
    if (row->type == OPTION_DURATION) {
        duration_text(number, out);
    } else if (row->type == OPTION_SIZE) {
        size_text(number, out);
    } else {
        (void)snprintf(out, PARSE_TEXT_BYTES, "%lld", (long long)number);
    }
}

static int bad_value(const struct option_row *row, const char *source, const char *value,
                     struct error *err)
{
    static const char *const wanted[] = {
        [OPTION_FLAG] = "true or false",
        [OPTION_TEXT] = "a text",
        [OPTION_INTEGER] = "a whole number",
        [OPTION_DURATION] = "a duration such as 500ms, 30s, 5m, 2h or 7d",
        [OPTION_SIZE] = "a size such as 65536, 64k or 64M",
        [OPTION_CHOICE] = "a listed word",
    };
    if (row->type == OPTION_CHOICE) {
        return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not one of %s", source, value,
                         row->argument);
    }
    if (row->minimum != 0 || row->maximum != 0) {
        char least[PARSE_TEXT_BYTES];
        char most[PARSE_TEXT_BYTES];
        write_number(row, row->minimum, least);
        write_number(row, row->maximum, most);
        return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not %s, from %s to %s", source, value,
                         wanted[row->type], least, most);
    }
    return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not %s", source, value, wanted[row->type]);
}

/* Index of 'value' among the words of "a|b|c", or -1. */
static int choice_index(const char *words, const char *value)
{
    size_t length = strlen(value);
    int index = 0;
    for (const char *word = words; word != NULL; index++) {
        const char *bar = strchr(word, '|');
        size_t word_length = bar == NULL ? strlen(word) : (size_t)(bar - word);
        if (word_length == length && strncmp(word, value, length) == 0) {
            return index;
        }
        word = bar == NULL ? NULL : bar + 1;
    }
    return -1;
}

static int flag_value(const char *value)
{
    static const char *const yes[] = {"1", "true", "yes", "on"};
    static const char *const no[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcmp(value, yes[i]) == 0) {
            return 1;
        }
        if (strcmp(value, no[i]) == 0) {
            return 0;
        }
    }
    return -1;
}

static int parse_number(const struct option_row *row, const char *value, int64_t *out)
{
    bool any = row->minimum == 0 && row->maximum == 0;
    int64_t minimum = any ? 0 : row->minimum;
    int64_t maximum = any ? INT64_MAX : row->maximum;
    int64_t number = 0;
    int result = row->type == OPTION_INTEGER    ? parse_integer(value, minimum, maximum, &number)
                 : row->type == OPTION_DURATION ? parse_duration_ms(value, &number)
                                                : parse_size_bytes(value, &number);
    if (result < 0 || number < minimum || number > maximum) {
        return -1;
    }
    *out = number;
    return 0;
}

static int append_entry(struct option_list *list, const char *source, const char *value,
                        struct error *err)
{
    if (list->count == OPTION_LIST_CEILING) {
        return error_set(err, ERROR_USAGE, 0, "%s: given more than %d times", source,
                         OPTION_LIST_CEILING);
    }
    list->entries[list->count++] = value;
    return 0;
}

static int store(const struct option_row *row, const char *source, const char *value, void *target,
                 struct error *err)
{
    void *field = (char *)target + row->offset;
    int index = 0;
    switch (row->type) {
    case OPTION_FLAG:
        index = flag_value(value);
        if (index < 0) {
            return bad_value(row, source, value, err);
        }
        *(bool *)field = index == 1;
        return 0;
    case OPTION_TEXT:
        *(const char **)field = value;
        return 0;
    case OPTION_LIST:
        return append_entry(field, source, value, err);
    case OPTION_CHOICE:
        index = choice_index(row->argument, value);
        if (index < 0) {
            return bad_value(row, source, value, err);
        }
        *(int *)field = index;
        return 0;
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        break;
    }
    if (parse_number(row, value, field) < 0) {
        return bad_value(row, source, value, err);
    }
    return 0;
}

static const struct option_row *find_letter(const struct option_row *rows, size_t count,
                                            char letter)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].name != NULL && rows[i].letter != 0 && rows[i].letter == letter) {
            return &rows[i];
        }
    }
    return NULL;
}

static const struct option_row *find_name(const struct option_row *rows, size_t count,
                                          const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].name != NULL && strlen(rows[i].name) == length &&
            strncmp(rows[i].name, name, length) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static int from_environment(const struct option_row *rows, size_t count, void *target,
                            struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = rows[i].environment == NULL ? NULL : getenv(rows[i].environment);
        if (value == NULL || value[0] == '\0') {
            continue;
        }
        if (store(&rows[i], rows[i].environment, value, target, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A command line that is being parsed. */
struct words {
    const struct option_row *rows;
    size_t count;
    void *target;
    int argc;
    char *const *argv;
    int position; /* of the next word */
    int unknown;  /* position of the unknown option; 0: none */
};

static int unknown(struct words *words, const char *word, struct error *err)
{
    words->unknown = words->position - 1;
    const char *name = word + strspn(word, "-");
    size_t length = strcspn(name, "=");
    char text[64];
    (void)snprintf(text, sizeof(text), "%.*s", (int)length, name);
    struct nearest nearest = nearest_begin(text);
    for (size_t i = 0; length > 1 && length < sizeof(text) && i < words->count; i++) {
        if (words->rows[i].name != NULL) {
            nearest_try(&nearest, words->rows[i].name);
        }
    }
    (void)error_set(err, ERROR_USAGE, 0, "unknown option '%s'", word);
    return nearest.best == NULL ? error_hint(err, "try --help")
                                : error_hint(err, "did you mean '--%s'? try --help", nearest.best);
}

/* 'value' NULL: no value is attached. A flag is then set; other options take the next word. */
static int store_from(struct words *words, const struct option_row *row, const char *value,
                      struct error *err)
{
    char source[64];
    (void)snprintf(source, sizeof(source), "--%s", row->name);
    if (row->type == OPTION_FLAG) {
        return store(row, source, value == NULL ? "true" : value, words->target, err);
    }
    if (value == NULL && words->position < words->argc) {
        value = words->argv[words->position++];
    }
    if (value == NULL) {
        return error_set(err, ERROR_USAGE, 0, "option '%s' needs a value: %s", source,
                         row->argument);
    }
    return store(row, source, value, words->target, err);
}

/* "--name" and "--name=value", also with one dash as Go's flag package accepts them. Returns 1 if
 * no option has this name. */
static int from_name(struct words *words, const char *word, struct error *err)
{
    const char *name = word + (word[1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const struct option_row *row = find_name(words->rows, words->count, name, length);
    return row == NULL ? 1 : store_from(words, row, equals == NULL ? NULL : equals + 1, err);
}

/* "-v", "-vvv", "-gv", "-l VALUE", "-gl VALUE" and "-lVALUE". */
static int from_letters(struct words *words, const char *word, struct error *err)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct option_row *row = find_letter(words->rows, words->count, *at);
        if (row == NULL) {
            return unknown(words, word, err);
        }
        if (row->type != OPTION_FLAG) {
            return store_from(words, row, at[1] == '\0' ? NULL : at + 1, err);
        }
        if (store_from(words, row, NULL, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int options_parse(const struct option_row *rows, size_t count, void *target, int argc,
                  char *const argv[], int *out_next, struct error *err)
{
    if (from_environment(rows, count, target, err) < 0) {
        return -1;
    }
    struct words words = {rows, count, target, argc, argv, 1, 0};
    while (words.position < argc && argv[words.position][0] == '-' &&
           argv[words.position][1] != '\0') {
        const char *word = argv[words.position++];
        if (strcmp(word, "--") == 0) {
            break;
        }
        int result = from_name(&words, word, err);
        if (result > 0) {
            result = word[1] == '-' ? unknown(&words, word, err) : from_letters(&words, word, err);
        }
        if (result < 0) {
            *out_next = words.unknown > 0 ? words.unknown : *out_next;
            return -1;
        }
    }
    *out_next = words.position;
    return 0;
}

void options_print_text(FILE *out, int column, int indent, const char *text)
{
    options_wrap_text(out, OPTION_HELP_WIDTH, column, indent, text);
}

void options_wrap_text(FILE *out, int width, int column, int indent, const char *text)
{
    const char *word = text + strspn(text, " ");
    for (bool first = true; *word != '\0'; first = false) {
        int length = (int)strcspn(word, " ");
        if (!first && column + 1 + length > width) {
            (void)fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", length, word);
        column += length;
        word += length;
        word += strspn(word, " ");
    }
    (void)fputc('\n', out);
}

void options_print_statuses(FILE *out, const struct option_status *rows, size_t count)
{
    (void)fputs("\nExit status:\n", out);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "  %-*s", OPTION_HELP_COLUMN - 2, rows[i].status);
        options_print_text(out, OPTION_HELP_COLUMN, OPTION_HELP_COLUMN, rows[i].meaning);
    }
}

static void print_row(FILE *out, const struct option_row *row)
{
    char left[96];
    char right[512];
    char letter[8] = "    ";
    bool has_default = row->default_text != NULL;
    bool has_variable = row->environment != NULL;
    if (row->letter != 0) {
        (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    }
    int width =
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, row->name,
                 row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
    (void)snprintf(right, sizeof(right), "%s%s%s%s%s%s%s", row->help,
                   has_default ? " (default " : "", has_default ? row->default_text : "",
                   has_default ? ")" : "", has_variable ? " [" : "",
                   has_variable ? row->environment : "", has_variable ? "]" : "");
    if (width > OPTION_HELP_COLUMN - 2) {
        (void)fprintf(out, "%s\n%*s", left, OPTION_HELP_COLUMN, "");
    } else {
        (void)fprintf(out, "%-*s", OPTION_HELP_COLUMN, left);
    }
    options_print_text(out, OPTION_HELP_COLUMN, OPTION_HELP_COLUMN, right);
}

void options_print(FILE *out, const struct option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].name == NULL) {
            (void)fprintf(out, "%s%s:\n", i == 0 ? "" : "\n", rows[i].help);
        } else if (rows[i].help != NULL) {
            print_row(out, &rows[i]);
        }
    }
}
