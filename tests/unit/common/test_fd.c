/* SPDX-License-Identifier: MIT */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/rows.h"

/* Each test works in a directory of its own, which is the working directory then. */
static char scratch[] = "/tmp/berth-test-fd-XXXXXX";

static int make_scratch(void **state)
{
    (void)state;
    memcpy(scratch + sizeof(scratch) - 7, "XXXXXX", 6);
    return mkdtemp(scratch) == NULL || chdir(scratch) != 0 ? -1 : 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof(command), "chmod -R u+rwX %s; rm -rf %s", scratch, scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c) */
}

static void put(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void expect_content(const char *path, const char *text)
{
    cleanup_buffer struct buffer content;
    buffer_init(&content, 1000);
    struct error err = {0};
    assert_int_equal(fd_read_file(path, &content, &err), 0);
    assert_int_equal(content.length, strlen(text));
    assert_memory_equal(content.length == 0 ? "" : content.bytes, text, strlen(text));
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void replace_makes_the_file_with_its_mode_whatever_the_umask(void **state)
{
    (void)state;
    struct error err = {0};
    mode_t old = umask(0777);
    int result = fd_replace_file("file", "secret", 6, 0600, &err);
    (void)umask(old);
    assert_int_equal(result, 0);
    assert_int_equal(mode_of("file"), 0600);
    expect_content("file", "secret");
}

static void replace_leaves_no_temporary_and_takes_the_new_mode(void **state)
{
    (void)state;
    struct error err = {0};
    put("file", "old and longer");
    assert_int_equal(fd_replace_file("file", "new", 3, 0640, &err), 0);
    assert_int_equal(mode_of("file"), 0640);
    expect_content("file", "new");
    cleanup_dir DIR *dir = opendir(".");
    int entries = 0;
    while (readdir(dir) != NULL) {
        entries++;
    }
    assert_int_equal(entries, 3); /* ".", ".." and the file */
}

static void replace_puts_a_file_where_a_link_was(void **state)
{
    (void)state;
    struct error err = {0};
    put("target", "untouched");
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(fd_replace_file("link", "new", 3, 0600, &err), 0);
    expect_content("target", "untouched");
    expect_content("link", "new");
}

static void replace_fails_without_touching_anything(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fd_replace_file("no/such/file", "x", 1, 0600, &err), -1);
    assert_int_equal(err.kind, ERROR_SYSTEM);
    assert_int_equal(err.errnum, ENOENT);
    assert_non_null(strstr(err.message, "'no/such/file'"));
    assert_int_equal(mkdir("directory", 0755), 0);
    assert_int_equal(fd_replace_file("directory", "x", 1, 0600, &err), -1);
    assert_true(exists("directory"));
    static char endless[5000];
    memset(endless, 'x', sizeof(endless) - 1);
    assert_int_equal(fd_replace_file(endless, "x", 1, 0600, &err), -1);
}

static void read_refuses_what_is_no_regular_file(void **state)
{
    (void)state;
    cleanup_buffer struct buffer content;
    buffer_init(&content, 10);
    struct error err = {0};
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(fd_read_file("fifo", &content, &err), -1);
    assert_int_equal(err.kind, ERROR_USAGE);
    assert_int_equal(fd_read_file(".", &content, &err), -1);
    assert_int_equal(fd_read_file("/dev/zero", &content, &err), -1);
    assert_int_equal(fd_read_file("missing", &content, &err), -1);
    assert_int_equal(err.errnum, ENOENT);
    put("long", "eleven byte");
    assert_int_equal(fd_read_file("long", &content, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(mkdir("a", 0755), 0);
    assert_int_equal(fd_make_directories("a/b//c/", 0700, &err), 0);
    assert_int_equal(mode_of("a"), 0755);
    assert_int_equal(mode_of("a/b"), 0700);
    assert_int_equal(mode_of("a/b/c"), 0700);
    assert_int_equal(fd_make_directories("a/b/c", 0755, &err), 0);
    assert_int_equal(mode_of("a/b/c"), 0700);
    char absolute[128];
    (void)snprintf(absolute, sizeof(absolute), "%s/x/y", scratch);
    assert_int_equal(fd_make_directories(absolute, 0700, &err), 0);
    assert_true(exists("x/y"));
}

static void directories_stop_at_a_file(void **state)
{
    (void)state;
    struct error err = {0};
    put("file", "");
    assert_int_equal(fd_make_directories("file/below", 0700, &err), -1);
    assert_int_equal(err.kind, ERROR_SYSTEM);
    assert_int_equal(fd_make_directories("file", 0700, &err), -1);
}

static void remove_takes_a_whole_tree(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fd_make_directories("tree/one/two", 0755, &err), 0);
    put("tree/file", "x");
    put("tree/one/two/.hidden", "x");
    assert_int_equal(mkfifo("tree/one/fifo", 0600), 0);
    assert_int_equal(fd_remove_tree("tree", &err), 0);
    assert_false(exists("tree"));
}

static void remove_does_not_follow_links(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fd_make_directories("keep", 0755, &err), 0);
    assert_int_equal(fd_make_directories("tree/sub", 0755, &err), 0);
    put("keep/file", "kept");
    assert_int_equal(symlink("../keep", "tree/to-directory"), 0);
    assert_int_equal(symlink("../../keep/file", "tree/sub/to-file"), 0);
    assert_int_equal(symlink("nowhere", "tree/dangling"), 0);
    assert_int_equal(symlink(".", "tree/loop"), 0);
    assert_int_equal(fd_remove_tree("tree", &err), 0);
    assert_false(exists("tree"));
    expect_content("keep/file", "kept");
}

static void remove_of_a_link_takes_the_link_only(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(mkdir("keep", 0755), 0);
    put("keep/file", "kept");
    assert_int_equal(symlink("keep", "link"), 0);
    assert_int_equal(fd_remove_tree("link", &err), 0);
    assert_false(exists("link"));
    expect_content("keep/file", "kept");
}

static void remove_opens_read_only_directories(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fd_make_directories("tree/module", 0755, &err), 0);
    put("tree/module/file", "x");
    assert_int_equal(chmod("tree/module", 0555), 0);
    assert_int_equal(chmod("tree", 0555), 0);
    assert_int_equal(fd_remove_tree("tree", &err), 0);
    assert_false(exists("tree"));
}

static void remove_of_nothing_is_success_and_of_a_file_too(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fd_remove_tree("missing", &err), 0);
    put("file", "x");
    assert_int_equal(fd_remove_tree("file", &err), 0);
    assert_false(exists("file"));
}

/* Below the working directory, which it is again afterwards. */
static void make_deep(const char *top, int depth)
{
    assert_int_equal(mkdir(top, 0755), 0);
    assert_int_equal(chdir(top), 0);
    for (int i = 0; i < depth; i++) {
        put("file", "x");
        assert_int_equal(mkdir("d", 0755), 0);
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(chdir(scratch), 0);
}

static int count_descriptors(void)
{
    int count = 0;
    cleanup_dir DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    return count;
}

/* Several passes, and further than descriptors or PATH_MAX reach. */
static void remove_takes_trees_of_any_depth(void **state)
{
    (void)state;
    struct error err = {0};
    int before = count_descriptors();
    make_deep("deep", 2500);
    assert_int_equal(fd_remove_tree("deep", &err), 0);
    assert_false(exists("deep"));
    assert_int_equal(count_descriptors(), before);
}

/* A directory that something is mounted on cannot be removed; what stands beside it can. */
static void remove_says_why_and_takes_what_it_can(void **state)
{
    (void)state;
    struct error err = {0};
    char path[64];
    for (int i = 0; i < 20; i++) { /* before and behind it, in whatever order they are read */
        (void)snprintf(path, sizeof(path), i == 10 ? "tree/mounted" : "tree/other-%d/below", i);
        assert_int_equal(fd_make_directories(path, 0755, &err), 0);
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "tree/mounted", "tmpfs", 0, NULL) < 0) {
        print_message("mounting is not allowed here\n");
        skip();
    }
    int result = fd_remove_tree("tree", &err);
    assert_int_equal(umount("tree/mounted"), 0);
    assert_int_equal(result, -1);
    assert_string_equal(err.message, "cannot remove 'tree': Device or resource busy");
    assert_true(exists("tree/mounted"));
    assert_false(exists("tree/other-0") || exists("tree/other-19"));
}

static void write_ends_at_its_deadline_when_nobody_reads(void **state)
{
    (void)state;
    static char block[1 << 20];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_set_nonblocking(ends[1], true), 0);
    int64_t started = clock_now_ms();
    assert_int_equal(fd_write_all(ends[1], block, sizeof(block), clock_deadline_ms(50)), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_in_range(clock_now_ms() - started, 49, 5000);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void nonblocking_is_set_and_cleared(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_set_nonblocking(ends[0], true), 0);
    assert_true((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(fd_set_nonblocking(ends[0], false), 0);
    assert_true((fcntl(ends[0], F_GETFL) & O_NONBLOCK) == 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(fd_set_nonblocking(-1, true), -1);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_SCRATCH(replace_makes_the_file_with_its_mode_whatever_the_umask),
        IN_SCRATCH(replace_leaves_no_temporary_and_takes_the_new_mode),
        IN_SCRATCH(replace_puts_a_file_where_a_link_was),
        IN_SCRATCH(replace_fails_without_touching_anything),
        IN_SCRATCH(read_refuses_what_is_no_regular_file),
        IN_SCRATCH(directories_are_made_with_their_parents),
        IN_SCRATCH(directories_stop_at_a_file),
        IN_SCRATCH(remove_takes_a_whole_tree),
        IN_SCRATCH(remove_does_not_follow_links),
        IN_SCRATCH(remove_of_a_link_takes_the_link_only),
        IN_SCRATCH(remove_opens_read_only_directories),
        IN_SCRATCH(remove_of_nothing_is_success_and_of_a_file_too),
        IN_SCRATCH(remove_takes_trees_of_any_depth),
        IN_SCRATCH(remove_says_why_and_takes_what_it_can),
        IN_SCRATCH(write_ends_at_its_deadline_when_nobody_reads),
        IN_SCRATCH(nonblocking_is_set_and_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
