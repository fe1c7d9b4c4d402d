/* SPDX-License-Identifier: MIT */
/*
 * rows.h - a table of cases as cmocka tests, one test per row, named by the row.
 *
 * A row is a struct whose member 'name' says what the case shows; the test function finds its row
 * in *state. rows_run() returns how many failed, for main() to add up.
 */
#ifndef BERTH_TESTS_UNIT_ROWS_H
#define BERTH_TESTS_UNIT_ROWS_H

/* cmocka.h wants these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static inline int rows_run_table(const char *group, const char *rows, size_t count,
                                 size_t row_bytes, size_t name_offset, CMUnitTestFunction function)
{
    struct CMUnitTest *tests = calloc(count, sizeof(*tests));
    if (tests == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        const char *row = rows + i * row_bytes;
        memcpy(&tests[i].name, row + name_offset, sizeof(tests[i].name));
        tests[i].test_func = function;
        tests[i].initial_state = (void *)(uintptr_t)row;
    }
    int failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
    free(tests);
    return failed;
}

#define rows_run(rows, function)                                                      \
    rows_run_table(#function, (const char *)(rows), sizeof(rows) / sizeof((rows)[0]), \
                   sizeof((rows)[0]), offsetof(__typeof__((rows)[0]), name), function)

#endif
