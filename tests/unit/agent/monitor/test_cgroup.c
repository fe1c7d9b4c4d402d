/* SPDX-License-Identifier: MIT */
/*
 * cgroup.c's parsers fed with files as version 1 and 2 write them, inside and outside a container.
 */
#include "agent/monitor/cgroup.h"

#include <stdio.h>

#include "common/fd.h"
#include "tests/unit/rows.h"

#define MOUNT_V1                                                                     \
    "31 25 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu\n" \
    "35 25 0:31 / /sys/fs/cgroup/memory rw,relatime shared:14 - cgroup cgroup rw,memory\n"
#define MOUNT_V1_DOCKER                                                                    \
    "799 796 0:31 /docker/f00d /sys/fs/cgroup/memory ro,nosuid master:14 - cgroup cgroup " \
    "rw,memory\n"
#define MOUNT_V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_HYBRID \
    MOUNT_V1 "26 25 0:22 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n"

struct locate_row {
    const char *name;
    const char *membership;
    const char *mountinfo;
    int version;
    const char *directory;
};

static const struct locate_row locate_rows[] = {
    {"version 2 in a container", "0::/\n", MOUNT_V2, 2, "/sys/fs/cgroup"},
    {"version 2 below the root", "0::/system.slice/x.service\n", MOUNT_V2, 2,
     "/sys/fs/cgroup/system.slice/x.service"},
    {"version 2 from outside the namespace", "0::/../other\n",
     "30 23 0:26 /mine /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", 2, "/sys/fs/cgroup"},
    {"version 1", "4:memory:/build\n3:cpu:/\n", MOUNT_V1, 1, "/sys/fs/cgroup/memory/build"},
    {"version 1 with others", "4:cpu,memory:/build\n",
     "35 25 0:31 / /cg rw - cgroup cgroup rw,cpu,memory\n", 1, "/cg/build"},
    {"version 1 in a container", "4:memory:/docker/f00d\n", MOUNT_V1_DOCKER, 1,
     "/sys/fs/cgroup/memory"},
    {"version 1 below a container's group", "4:memory:/docker/f00d/sub\n", MOUNT_V1_DOCKER, 1,
     "/sys/fs/cgroup/memory/sub"},
    {"version 1, another container's name begins alike", "4:memory:/docker/f00d2\n",
     MOUNT_V1_DOCKER, 1, "/sys/fs/cgroup/memory"},
    {"both: the one with the memory controller", "4:memory:/a\n0::/b\n", MOUNT_HYBRID, 1,
     "/sys/fs/cgroup/memory/a"},
    {"both, in the other order", "0::/b\n4:memory:/a\n", MOUNT_HYBRID, 1,
     "/sys/fs/cgroup/memory/a"},
    {"a colon in the path", "0::/a:b\n", MOUNT_V2, 2, "/sys/fs/cgroup/a:b"},
    {"no last newline", "0::/a", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw", 2, "/cg/a"},
    {"no memory controller mounted", "4:memory:/a\n", MOUNT_V2, 0, ""},
    {"memory is part of another word", "4:memoryhog:/a\n", MOUNT_V1, 0, ""},
    {"no cgroups", "", "", 0, ""},
    {"nonsense", "::\n:\nx\n\n", "a\n - \n- - -\n", 0, ""},
    {"cut mountinfo", "0::/\n", "30 23 - cgroup2 cgroup2 rw\n", 0, ""},
};

static void test_locate(void **state)
{
    const struct locate_row *row = *state;
    struct cgroup cgroup;
    cgroup_locate(row->membership, row->mountinfo, &cgroup);
    assert_int_equal(cgroup.version, row->version);
    assert_string_equal(cgroup.directory, row->directory);
}

struct number_row {
    const char *name;
    const char *text;
    int64_t number;
};

static const struct number_row number_rows[] = {
    {"bytes", "2147483648\n", 2147483648},
    {"zero", "0\n", 0},
    {"no limit, version 2", "max\n", CGROUP_UNKNOWN},
    {"no limit, version 1", "9223372036854771712\n", CGROUP_UNKNOWN},
    {"more than fits", "99999999999999999999\n", CGROUP_UNKNOWN},
    {"negative", "-1\n", CGROUP_UNKNOWN},
    {"missing file", "", CGROUP_UNKNOWN},
    {"no number", "12x\n", CGROUP_UNKNOWN},
};

static void test_number(void **state)
{
    const struct number_row *row = *state;
    assert_int_equal(cgroup_number(row->text), row->number);
}

static const struct number_row oom_rows[] = {
    {"memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", 2},
    {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5},
    {"an old kernel's", "oom_kill_disable 0\nunder_oom 0\n", CGROUP_UNKNOWN},
    {"first line", "oom_kill 7", 7},
    {"missing file", "", CGROUP_UNKNOWN},
};

static void test_oom(void **state)
{
    const struct number_row *row = *state;
    assert_int_equal(cgroup_field(row->text, "oom_kill"), row->number);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_int_equal(fd_replace_file(path, text, strlen(text), 0600, NULL), 0);
}

/* A version 2 tree whose outer group has the lower limit. */
static void test_files(void **state)
{
    (void)state;
    char outer[64] = "/tmp/berth-test-XXXXXX";
    struct cgroup cgroup = {.version = 2};
    assert_non_null(mkdtemp(outer));
    (void)snprintf(cgroup.mount, sizeof(cgroup.mount), "%s", outer);
    (void)snprintf(cgroup.directory, sizeof(cgroup.directory), "%s/inner", outer);
    assert_int_equal(fd_make_directories(cgroup.directory, 0700, NULL), 0);
    assert_int_equal(cgroup_limit(&cgroup), CGROUP_UNKNOWN);
    assert_int_equal(cgroup_peak(&cgroup), CGROUP_UNKNOWN);
    write_file(cgroup.directory, "memory.max", "max\n");
    assert_int_equal(cgroup_limit(&cgroup), CGROUP_UNKNOWN);
    write_file(cgroup.directory, "memory.max", "2000\n");
    write_file(outer, "memory.max", "1000\n");
    write_file(cgroup.directory, "memory.peak", "900\n");
    write_file(cgroup.directory, "memory.events", "oom 1\noom_kill 1\n");
    assert_int_equal(cgroup_limit(&cgroup), 1000);
    assert_int_equal(cgroup_peak(&cgroup), 900);
    assert_int_equal(cgroup_oom_kills(&cgroup), 1);
    cgroup.version = 1;
    write_file(cgroup.directory, "memory.stat", "cache 1\nhierarchical_memory_limit 500\n");
    write_file(cgroup.directory, "memory.max_usage_in_bytes", "400\n");
    write_file(cgroup.directory, "memory.oom_control", "under_oom 0\noom_kill 4\n");
    assert_int_equal(cgroup_limit(&cgroup), 500);
    assert_int_equal(cgroup_peak(&cgroup), 400);
    assert_int_equal(cgroup_oom_kills(&cgroup), 4);
    assert_int_equal(fd_remove_tree(outer, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest files[] = {cmocka_unit_test(test_files)};
    return rows_run(locate_rows, test_locate) + rows_run(number_rows, test_number) +
           rows_run(oom_rows, test_oom) + cmocka_run_group_tests(files, NULL, NULL);
}
