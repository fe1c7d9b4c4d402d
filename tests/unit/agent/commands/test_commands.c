/* SPDX-License-Identifier: MIT */
#include "agent/commands/commands.h"

#include "tests/unit/rows.h"

struct row {
    const char *name;
    const char *words[8]; /* the command's name first */
    int argc;             /* arguments; -1: refused */
    const char *first;    /* the first one */
    const char *option;   /* --builds or --variables */
    int64_t timeout_ms;
};

static const struct row rows[] = {
    {"an option behind the argument", {"place", "/a", "--builds", "/b"}, 1, "/a", "/b", 0},
    {"before it", {"place", "--builds=/b", "/a"}, 1, "/a", "/b", 0},
    {"words after --", {"place", "--", "--builds"}, 1, "--builds", NULL, 0},
    {"-- between arguments", {"own", "1:1", "--", "-d"}, 2, "1:1", NULL, 0},
    {"too few", {"own", "1:1"}, -1, NULL, NULL, 0},
    {"too many", {"own", "1:1", "/a", "/b"}, -1, NULL, NULL, 0},
    {"help needs no arguments", {"own", "--help"}, 0, NULL, NULL, 0},
    {"default of await", {"await", "a:1", "b:2"}, 2, "a:1", NULL, 30000},
    {"options between", {"await", "a:1", "--timeout", "2s", "b:2"}, 2, "a:1", NULL, 2000},
    {"default of service", {"service", "--variables", "f", "--", "cat"}, 1, "cat", "f", 600000},
    {"a command's own options",
     {"service", "--variables=f", "cat", "--help"},
     1,
     "cat",
     "f",
     600000},
    {"a second -- is the command's", {"service", "--", "--", "x"}, 1, "--", NULL, 600000},
    {"no command", {"service", "--variables", "f", "--"}, -1, NULL, NULL, 0},
    {"another command's option", {"await", "--builds", "x", "a:1"}, -1, NULL, NULL, 0},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    char *argv[10] = {(char[]){"berth-agent"}};
    struct command_line line;
    struct error err = {0};
    int argc = 1;
    while (argc < 9 && row->words[argc - 1] != NULL) {
        argv[argc] = strdup(row->words[argc - 1]);
        argc++;
    }
    const struct agent_command *command = command_find(argv[1]);
    assert_non_null(command);
    int result = command_parse(command, argc, argv, &line, &err);
    assert_int_equal(result, row->argc < 0 ? -1 : 0);
    if (result < 0) {
        assert_int_equal(err.kind, ERROR_USAGE);
    } else {
        assert_int_equal(line.argc, row->argc);
        const char *first = command->has_command ? line.command[0] : line.arguments[0];
        const char *option = command->has_command ? line.variables : line.builds;
        assert_string_equal(first == NULL ? "" : first, row->first == NULL ? "" : row->first);
        assert_string_equal(option == NULL ? "" : option, row->option == NULL ? "" : row->option);
        assert_int_equal(line.timeout_ms, row->timeout_ms);
    }
    for (int i = 1; i < argc; i++) {
        free(argv[i]);
    }
}

static void test_find(void **state)
{
    (void)state;
    assert_non_null(command_find("identity"));
    assert_null(command_find("identit"));
    assert_null(command_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
    return rows_run(rows, test_parse) + cmocka_run_group_tests(tests, NULL, NULL);
}
