/* SPDX-License-Identifier: MIT */
#include "agent/child/environment.h"

#include "tests/unit/rows.h"

#define DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct row {
    const char *name;
    const char *path; /* of the container; NULL: unset */
    const char *first, *before, *after, *last;
    const char *wanted;
};

static const struct row rows[] = {
    {"the container's alone", "/bin", NULL, NULL, NULL, NULL, "/bin"},
    {"none at all", NULL, NULL, NULL, NULL, NULL, DEFAULT},
    {"all parts", "/bin:/sbin", "/1", "/2:/3", "/4", "/5", "/1:/2:/3:/bin:/sbin:/4:/5"},
    {"around the default", NULL, NULL, "/2", "/4", NULL, "/2:" DEFAULT ":/4"},
    {"an empty one adds no working directory", "", "/1", NULL, NULL, "/5", "/1:/5"},
    {"empty alone", "", NULL, NULL, NULL, NULL, ""},
};

static void test_path(void **state)
{
    const struct row *row = *state;
    struct agent_options options = {.path_before = row->before, .path_after = row->after};
    assert_int_equal(row->path == NULL ? unsetenv("PATH") : setenv("PATH", row->path, 1), 0);
    char *path = environment_path(&options, row->first, row->last);
    assert_non_null(path);
    assert_string_equal(path, row->wanted);
    free(path);
}

int main(void)
{
    return rows_run(rows, test_path);
}
