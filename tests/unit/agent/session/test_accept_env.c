/* SPDX-License-Identifier: MIT */
#include "agent/session/accept_env.h"

#include "tests/unit/rows.h"

struct permit_row {
    const char *name;
    const char *patterns;
    const char *variable;
    bool permitted;
};

static const struct permit_row permit_rows[] = {
    {"exact name", "LANG", "LANG", true},
    {"longer name", "LANG", "LANGUAGE", false},
    {"shorter name", "LANGUAGE", "LANG", false},
    {"prefix", "LC_*", "LC_ALL", true},
    {"prefix alone", "LC_*", "LC_", true},
    {"not the prefix", "LC_*", "LCX", false},
    {"second of the list", "LANG,LC_*", "LC_ALL", true},
    {"blanks between", "LANG, TERM\tTZ", "TZ", true},
    {"empty words", ",,LANG,,", "LANG", true},
    {"empty list", "", "LANG", false},
    {"all", "*", "ANYTHING", true},
    {"all is not the linker", "*", "LD_PRELOAD", false},
    {"all is not the shell's start file", "*", "BASH_ENV", false},
    {"all is no exported function", "*", "BASH_FUNC_x", false},
    {"named and still hostile", "LD_PRELOAD", "LD_PRELOAD", false},
    {"search path", "*", "PATH", false},
    {"ours", "*", "BERTH_LISTEN", false},
    {"case counts", "lang", "LANG", false},
    {"no name", "*", "", false},
    {"equals sign in the name", "*", "A=B", false},
    {"percent signs", "*", "A%%", false},
    {"digit first", "*", "1A", false},
    {"digit later", "*", "A1", true},
    {"blank in the name", "*", "A B", false},
    {"not ASCII", "*", "\xc3\xa4", false},
};

static void test_permits(void **state)
{
    const struct permit_row *row = *state;
    struct buffer variables;
    buffer_init(&variables, 1024);
    assert_int_equal(accept_env_add(row->patterns, row->variable, "", &variables), row->permitted);
    buffer_done(&variables);
}

struct add_row {
    const char *name;
    const char *value;
    size_t ceiling;
    const char *result; /* NULL: refused */
};

static const struct add_row add_rows[] = {
    {"a value", "1", 64, "OLD=0\nNEW=1\n"},
    {"an empty value", "", 64, "OLD=0\nNEW=\n"},
    {"equals sign in the value", "a=b", 64, "OLD=0\nNEW=a=b\n"},
    {"a line break would be another variable", "1\nLD_PRELOAD=x", 64, NULL},
    {"too long", "123456", 12, NULL},
};

static void test_add(void **state)
{
    const struct add_row *row = *state;
    struct buffer variables;
    buffer_init(&variables, row->ceiling);
    assert_true(accept_env_add("*", "OLD", "0", &variables));
    assert_int_equal(accept_env_add("*", "NEW", row->value, &variables), row->result != NULL);
    assert_string_equal(variables.bytes, row->result != NULL ? row->result : "OLD=0\n");
    buffer_done(&variables);
}

int main(void)
{
    return rows_run(permit_rows, test_permits) + rows_run(add_rows, test_add);
}
