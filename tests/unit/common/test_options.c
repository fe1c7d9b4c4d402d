/* SPDX-License-Identifier: MIT */
#include "common/options.h"

#include <stdbool.h>
#include <string.h>

#include "tests/unit/rows.h"

struct target {
    bool verbose;
    const char *listen;
    int64_t count;
    int64_t grace_ms;
    int64_t size_bytes;
    int choice;
    struct option_list list;
};

static const struct option_row table[] = {
    {.help = "Options"},
    {.name = "verbose",
     .letter = 'v',
     .type = OPTION_FLAG,
     .help = "talk",
     .environment = "TEST_VERBOSE",
     .offset = offsetof(struct target, verbose)},
    {.name = "listen",
     .letter = 'l',
     .type = OPTION_TEXT,
     .argument = "ADDRESS:PORT",
     .environment = "TEST_LISTEN",
     .default_text = "0.0.0.0:22",
     .help = "where to listen",
     .offset = offsetof(struct target, listen)},
    {.name = "count",
     .type = OPTION_INTEGER,
     .argument = "N",
     .help = "how many",
     .minimum = 1,
     .maximum = 9,
     .offset = offsetof(struct target, count)},
    {.name = "grace",
     .type = OPTION_DURATION,
     .argument = "DURATION",
     .help = "how long",
     .environment = "TEST_GRACE",
     .offset = offsetof(struct target, grace_ms)},
    {.name = "size",
     .type = OPTION_SIZE,
     .argument = "SIZE",
     .help = "how much",
     .offset = offsetof(struct target, size_bytes)},
    {.name = "after",
     .type = OPTION_CHOICE,
     .argument = "keep|kill|killall",
     .help = "then",
     .offset = offsetof(struct target, choice)},
    {.name = "env",
     .letter = 'e',
     .type = OPTION_LIST,
     .argument = "NAME",
     .help = "more",
     .offset = offsetof(struct target, list)},
};

#define WORDS_MAX 6

struct parse_row {
    const char *name;
    const char *words[WORDS_MAX]; /* after the program's name */
    const char *environment[2];   /* name, value */
    struct target wanted;
    int next;          /* index of the first word that is no option */
    const char *error; /* NULL: it parses */
};

#define DEFAULTS .listen = "default", .count = 5, .grace_ms = 10000, .choice = -1

static const struct parse_row parse_rows[] = {
    {.name = "nothing keeps the defaults", .wanted = {DEFAULTS}, .next = 1},
    {.name = "value as a word of its own",
     .words = {"--count", "7"},
     .wanted = {.listen = "default", .count = 7, .grace_ms = 10000, .choice = -1},
     .next = 3},
    {.name = "value after an equals sign",
     .words = {"--count=7", "rest"},
     .wanted = {.listen = "default", .count = 7, .grace_ms = 10000, .choice = -1},
     .next = 2},
    {.name = "letter",
     .words = {"-v", "-l", "x"},
     .wanted = {.verbose = true, .listen = "x", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 4},
    {.name = "letter with its value attached",
     .words = {"-lx"},
     .wanted = {.listen = "x", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 2},
    {.name = "flags in one word",
     .words = {"-vvv"},
     .wanted = {.verbose = true, DEFAULTS},
     .next = 2},
    {.name = "flags, then an option whose value is the rest of the word",
     .words = {"-vlx"},
     .wanted = {.verbose = true, .listen = "x", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 2},
    {.name = "flags, then an option whose value is the next word",
     .words = {"-vl", "x"},
     .wanted = {.verbose = true, .listen = "x", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 3},
    {.name = "a name behind one dash",
     .words = {"-count", "7", "-listen=x", "-verbose"},
     .wanted = {.verbose = true, .listen = "x", .count = 7, .grace_ms = 10000, .choice = -1},
     .next = 5},
    {.name = "value that looks like an option",
     .words = {"--listen", "--verbose"},
     .wanted = {.listen = "--verbose", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 3},
    {.name = "empty value after an equals sign",
     .words = {"--listen="},
     .wanted = {.listen = "", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 2},
    {.name = "flag with a value", .words = {"--verbose=no"}, .wanted = {DEFAULTS}, .next = 2},
    {.name = "two dashes end the options",
     .words = {"-v", "--", "--count"},
     .wanted = {.verbose = true, DEFAULTS},
     .next = 3},
    {.name = "first word that is none ends them",
     .words = {"custom", "--count"},
     .wanted = {DEFAULTS},
     .next = 1},
    {.name = "one dash is a word", .words = {"-"}, .wanted = {DEFAULTS}, .next = 1},
    {.name = "duration and size",
     .words = {"--grace", "2m", "--size=64k"},
     .wanted =
         {.listen = "default", .count = 5, .grace_ms = 120000, .size_bytes = 65536, .choice = -1},
     .next = 4},
    {.name = "choice",
     .words = {"--after=kill"},
     .wanted = {.listen = "default", .count = 5, .grace_ms = 10000, .choice = 1},
     .next = 2},
    {.name = "choice that begins like another",
     .words = {"--after=killall"},
     .wanted = {.listen = "default", .count = 5, .grace_ms = 10000, .choice = 2},
     .next = 2},
    {.name = "environment",
     .environment = {"TEST_LISTEN", "e"},
     .wanted = {.listen = "e", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 1},
    {.name = "empty environment counts as unset",
     .environment = {"TEST_LISTEN", ""},
     .wanted = {DEFAULTS},
     .next = 1},
    {.name = "command line before environment",
     .words = {"--listen=c"},
     .environment = {"TEST_LISTEN", "e"},
     .wanted = {.listen = "c", .count = 5, .grace_ms = 10000, .choice = -1},
     .next = 2},
    {.name = "last of two wins",
     .words = {"--count=1", "--count=2"},
     .wanted = {.listen = "default", .count = 2, .grace_ms = 10000, .choice = -1},
     .next = 3},
    {.name = "a list grows",
     .words = {"-e", "A=1", "-eB", "--env=C"},
     .wanted = {DEFAULTS, .list = {.entries = {"A=1", "B", "C"}, .count = 3}},
     .next = 5},
    {.name = "unknown option",
     .words = {"--bogus"},
     .error = "unknown option '--bogus'; try --help",
     .next = 1},
    {.name = "unknown letter",
     .words = {"-v", "-x"},
     .error = "unknown option '-x'; try --help",
     .next = 2},
    {.name = "unknown letter among others",
     .words = {"-vx"},
     .error = "unknown option '-vx'; try --help",
     .next = 1},
    {.name = "missing value of a letter",
     .words = {"-vl"},
     .error = "option '--listen' needs a value: ADDRESS:PORT"},
    {.name = "beginning of a name is no name",
     .words = {"--coun=1"},
     .error = "unknown option '--coun=1'; did you mean '--count'? try --help",
     .next = 1},
    {.name = "missing value", .words = {"--count"}, .error = "option '--count' needs a value: N"},
    {.name = "out of range",
     .words = {"--count=10"},
     .error = "--count: '10' is not a whole number, from 1 to 9"},
    {.name = "no number",
     .words = {"--count=many"},
     .error = "--count: 'many' is not a whole number, from 1 to 9"},
    {.name = "no duration",
     .words = {"--grace=soon"},
     .error = "--grace: 'soon' is not a duration such as 500ms, 30s, 5m, 2h or 7d"},
    {.name = "bad environment names the variable",
     .environment = {"TEST_GRACE", "soon"},
     .error = "TEST_GRACE: 'soon' is not a duration such as 500ms, 30s, 5m, 2h or 7d"},
    {.name = "choice that is none",
     .words = {"--after=kil"},
     .error = "--after: 'kil' is not one of keep|kill|killall"},
    {.name = "empty choice",
     .words = {"--after="},
     .error = "--after: '' is not one of keep|kill|killall"},
};

static void test_parse(void **state)
{
    const struct parse_row *row = *state;
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "test"};
    int argc = 1;
    for (size_t i = 0; i < WORDS_MAX && row->words[i] != NULL; i++) {
        argv[argc++] = (char *)(uintptr_t)row->words[i];
    }
    if (row->environment[0] != NULL) {
        assert_int_equal(setenv(row->environment[0], row->environment[1], 1), 0);
    }
    struct target target = {DEFAULTS};
    struct error err = {0};
    int next = -1;
    int result = options_parse(table, OPTION_COUNT(table), &target, argc, argv, &next, &err);
    if (row->environment[0] != NULL) {
        (void)unsetenv(row->environment[0]);
    }
    if (row->error != NULL) {
        assert_int_equal(result, -1);
        assert_int_equal(err.kind, ERROR_USAGE);
        char text[ERROR_TEXT_BYTES];
        assert_string_equal(error_text(&err, text), row->error);
        assert_int_equal(next, row->next > 0 ? row->next : -1);
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(next, row->next);
    assert_int_equal(target.verbose, row->wanted.verbose);
    assert_string_equal(target.listen, row->wanted.listen);
    assert_int_equal(target.count, row->wanted.count);
    assert_int_equal(target.grace_ms, row->wanted.grace_ms);
    assert_int_equal(target.size_bytes, row->wanted.size_bytes);
    assert_int_equal(target.choice, row->wanted.choice);
    assert_int_equal(target.list.count, row->wanted.list.count);
    for (size_t i = 0; i < target.list.count; i++) {
        assert_string_equal(target.list.entries[i], row->wanted.list.entries[i]);
    }
}

static void help_shows_every_option_with_default_and_variable(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    options_print(out, table, OPTION_COUNT(table));
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "Options:\n"));
    assert_non_null(strstr(text, "  -v, --verbose "));
    assert_non_null(strstr(text, "--listen ADDRESS:PORT"));
    assert_non_null(strstr(text, "where to listen (default 0.0.0.0:22)\n"));
    free(text);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(help_shows_every_option_with_default_and_variable),
    };
    return rows_run(parse_rows, test_parse) + cmocka_run_group_tests(others, NULL, NULL);
}
