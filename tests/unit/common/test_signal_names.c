/* SPDX-License-Identifier: MIT */
#include "common/signal_names.h"

#include <signal.h>

#include "tests/unit/rows.h"

struct name_row {
    const char *name;
    const char *text;
    size_t length;
    int number;
    bool in_ssh;
};

static const struct name_row rows[] = {
    {"in SSH", "TERM", 4, SIGTERM, true},
    {"not in SSH", "XCPU", 4, SIGXCPU, false},
    {"part of a longer text", "SYS@openssh.com", 3, SIGSYS, false},
    {"the beginning of a name", "TER", 3, 0, false},
    {"with SIG", "SIGTERM", 7, 0, false},
    {"lower case", "term", 4, 0, false},
    {"empty", "", 0, 0, false},
};

static void test_name(void **state)
{
    const struct name_row *row = *state;
    int number = signal_number(row->text, row->length);
    assert_int_equal(number, row->number);
    assert_int_equal(signal_is_in_ssh(number), row->in_ssh);
    if (number != 0) {
        assert_memory_equal(signal_name(number), row->text, row->length);
        assert_int_equal(strlen(signal_name(number)), row->length);
    } else {
        assert_null(signal_name(number));
    }
}

int main(void)
{
    return rows_run(rows, test_name);
}
