/* SPDX-License-Identifier: MIT */
/*
 * rows.h - what the driver's unit tests share: temporary files, and cmocka's headers in the order
 * that they need.
 */
#ifndef BERTH_TESTS_UNIT_DRIVER_ROWS_H
#define BERTH_TESTS_UNIT_DRIVER_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

#define ROW_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* One directory per test program, removed by rows_remove_directory(). */
static char rows_directory[64];

static inline int rows_make_directory(void **state)
{
    (void)state;
    (void)snprintf(rows_directory, sizeof(rows_directory), "/tmp/berth-test-XXXXXX");
    return mkdtemp(rows_directory) == NULL ? -1 : 0;
}

static inline int rows_remove_directory(void **state)
{
    (void)state;
    return fd_remove_tree(rows_directory, NULL);
}

/* Writes a file there and returns its path, good until the next call. */
static inline const char *rows_file(const char *name, const char *text, size_t length)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", rows_directory, name);
    assert_int_equal(fd_replace_file(path, text, length, 0600, NULL), 0);
    return path;
}

static inline void rows_assert_contains(const char *name, const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("%s: '%s' has no '%s'", name, text, part);
    }
}

#endif
