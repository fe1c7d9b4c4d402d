/* SPDX-License-Identifier: MIT */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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
    assert_int_equal(fd_set_nonblocking(ends[1]), 0);
    int64_t started = clock_now_ms();
    assert_int_equal(fd_write_all(ends[1], block, sizeof(block), clock_deadline_ms(50)), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_in_range(clock_now_ms() - started, 49, 60000);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void nonblocking_is_set(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_set_nonblocking(ends[0]), 0);
    assert_true((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(fd_set_nonblocking(ends[0]), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(fd_set_nonblocking(-1), -1);
}

#define LOAD(field)           BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(verdict)       BPF_STMT(BPF_RET | BPF_K, verdict)
#define IS(value, yes, no)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ABOVE(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, value, yes, no)

/* From here on 'call' fails with 'reason', and closing a high number kills. */
static void refuse_call(unsigned call, unsigned reason)
{
    struct sock_filter filter[] = {
        LOAD(nr),
        IS(call, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | reason),
        IS(SYS_close, 0, 3),
        LOAD(args[0]),
        ABOVE(70000, 0, 1),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        _exit(2);
    }
}

static const struct close_row {
    const char *name;
    unsigned reason; /* why close_range() fails; 0: it works */
    bool no_proc;
} close_rows[] = {
    {"close_range works", 0, false},
    {"a kernel without close_range", ENOSYS, false},
    {"a filter that refuses it", EPERM, false},
    {"neither close_range nor /proc", ENOSYS, true},
};

/* In a child: 0 when exactly the range was closed. */
static int close_some(const struct close_row *row)
{
    struct rlimit limit = {1 << 20, 1 << 20};
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* as high as it may be */
    for (int fd = 10; fd < 30; fd++) {
        (void)dup2(STDERR_FILENO, fd);
    }
    (void)dup2(STDERR_FILENO, 500);
    if (row->no_proc &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
         mount("none", "/proc", "tmpfs", 0, NULL) < 0)) {
        return 3;
    }
    if (row->reason != 0) {
        refuse_call(SYS_close_range, row->reason);
    }
    if (fd_close_range(12, 20) < 0 || fd_close_range(25, ~0U) < 0) {
        return 4;
    }
    for (int fd = 10; fd < 30; fd++) {
        bool wanted = fd < 12 || (fd > 20 && fd < 25);
        if ((fcntl(fd, F_GETFD) >= 0) != wanted) {
            return 5;
        }
    }
    return fcntl(500, F_GETFD) < 0 ? 0 : 6;
}

static int status_of(pid_t child)
{
    int status = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void close_range_closes_its_range_and_nothing_else(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(close_some(*state));
    }
    int status = status_of(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) {
        print_message("mounting is not allowed here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void memory_file_is_made_or_its_refusal_named(void **state)
{
    struct error err = {0};
    (void)state;
    int fd = fd_memory_file("test", 0, &err);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(fd, "x", 1), 1);
    (void)close(fd);
    pid_t child = fork();
    if (child == 0) {
        refuse_call(SYS_memfd_create, EPERM);
        bool named = fd_memory_file("test", 0, &err) == -1 && err.errnum == EPERM &&
                     strcmp(err.message, "cannot create a memory file: memfd_create is refused; "
                                         "allow it in the container's seccomp profile: "
                                         "Operation not permitted") == 0;
        _exit(named ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
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
        IN_SCRATCH(nonblocking_is_set),
        IN_SCRATCH(memory_file_is_made_or_its_refusal_named),
    };
    return rows_run(close_rows, close_range_closes_its_range_and_nothing_else) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
