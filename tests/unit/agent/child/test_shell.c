/* SPDX-License-Identifier: MIT */
/* Only searches that end before the fixed directories, whose programs differ between machines. */
#include "agent/child/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/rows.h"

struct row {
    const char *name;
    const char *files[4]; /* below the test's directory */
    const char *path;     /* "%s" is that directory */
    const char *wanted;   /* NULL: not found there */
};

static const struct row rows[] = {
    {"the first directory", {"a/x", "b/x"}, "%1$s/a:%1$s/b", "a/x"},
    {"the second", {"b/x"}, "%1$s/a:%1$s/b", "b/x"},
    {"empty and relative ones are skipped", {"a/x"}, "::a:.:%1$s/none:%1$s/a", "a/x"},
    {"a file that cannot be executed", {"a/-x", "b/x"}, "%1$s/a:%1$s/b", "b/x"},
    {"a file as a directory", {"a/x"}, "%1$s/a/x", NULL},
    {"nothing", {NULL}, "", NULL},
    {"separators alone", {NULL}, ":::", NULL},
};

static void make(const char *top, const char *name)
{
    char path[256];
    bool executable = strstr(name, "/-") == NULL;
    (void)snprintf(path, sizeof(path), "%s/%.1s/x", top, name);
    *strrchr(path, '/') = '\0';
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof(path), "%s/%.1s/x", top, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, executable ? 0755 : 0644);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void test_find(void **state)
{
    const struct row *row = *state;
    char top[] = "/tmp/berth-test-XXXXXX", path[512], found[SHELL_PATH_BYTES], wanted[256];
    assert_non_null(mkdtemp(top));
    for (size_t i = 0; i < 4 && row->files[i] != NULL; i++) {
        make(top, row->files[i]);
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(path, sizeof(path), row->path, top);
#pragma GCC diagnostic pop
    assert_int_equal(shell_find_in(path, "x", found), row->wanted != NULL);
    if (row->wanted != NULL) {
        (void)snprintf(wanted, sizeof(wanted), "%s/%s", top, row->wanted);
        assert_string_equal(found, wanted);
    }
    struct error err;
    assert_int_equal(fd_remove_tree(top, &err), 0);
}

static void test_long_entries(void **state)
{
    static char path[2 * SHELL_PATH_BYTES];
    char found[SHELL_PATH_BYTES];
    (void)state;
    memset(path, 'a', sizeof(path) - 6);
    path[0] = '/';
    memcpy(path + sizeof(path) - 6, ":/bin", 6);
    assert_true(shell_find_in(path, "sh", found));
    assert_string_equal(found, "/bin/sh");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_entries)};
    return rows_run(rows, test_find) + cmocka_run_group_tests(tests, NULL, NULL);
}
