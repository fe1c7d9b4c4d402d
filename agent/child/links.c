/* SPDX-License-Identifier: MIT */
#include "agent/child/links.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child/environment.h"
#include "agent/child/shell.h"
#include "agent/child/start.h"
#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

#define HELPER_PROGRAM "gitlab-runner-helper"
#define HELPER_LINK    "gitlab-runner"
/* Where the helper images of GitLab have it. */
#define HELPER_PLACES "/usr/bin:/usr/local/bin:/bin:/opt/gitlab-runner"

#define APPLET_NAME_BYTES 32

/* Common to all builds of busybox; one word each. */
static const char usual_applets[] =
    "[\n[[\nash\nawk\nbase64\nbasename\nbunzip2\nbzip2\ncat\nchgrp\nchmod\nchown\nclear\ncmp\ncp\n"
    "cut\ndate\ndd\ndf\ndiff\ndirname\ndu\necho\negrep\nenv\nexpand\nexpr\nfalse\nfgrep\nfind\n"
    "fold\ngrep\ngunzip\ngzip\nhead\nhostname\nid\ninstall\nkill\nkillall\nless\nln\nls\nmd5sum\n"
    "mkdir\nmkfifo\nmktemp\nmore\nmv\nnc\nnice\nnohup\nnproc\nod\npaste\npatch\npgrep\npidof\n"
    "pkill\nprintf\nps\npwd\nreadlink\nrealpath\nrm\nrmdir\nsed\nseq\nsh\nsha1sum\nsha256sum\n"
    "sha512sum\nsleep\nsort\nstat\nstrings\nsync\ntac\ntail\ntar\ntee\ntest\ntime\ntimeout\ntop\n"
    "touch\ntr\ntrue\ntty\numask\nuname\nunexpand\nuniq\nunxz\nunzip\nuptime\nusleep\nvi\nwc\n"
    "wget\nwhich\nwho\nwhoami\nxargs\nxz\nyes\nzcat\n";

/* A symbolic link with this target, whatever has its name now. */
static int make_link(int directory_fd, const char *name, const char *target)
{
    char present[PATH_MAX];
    char temporary[NAME_MAX + 1];
    if (symlinkat(target, directory_fd, name) == 0) {
        return 0;
    }
    if (errno != EEXIST) {
        return -1;
    }
    ssize_t length = readlinkat(directory_fd, name, present, sizeof(present));
    if (length == (ssize_t)strlen(target) && memcmp(present, target, (size_t)length) == 0) {
        return 0;
    }
    (void)snprintf(temporary, sizeof(temporary), ".%.64s.%d", name, (int)getpid());
    (void)unlinkat(directory_fd, temporary, 0); /* of a process that was killed */
    if (symlinkat(target, directory_fd, temporary) < 0) {
        return -1;
    }
    if (renameat(directory_fd, temporary, directory_fd, name) < 0) {
        int saved = errno;
        (void)unlinkat(directory_fd, temporary, 0);
        errno = saved;
        return -1;
    }
    return 0;
}

/* mkdir, and open to every user whatever the umask. Returns its descriptor. */
static int make_directory(int parent_fd, const char *name, struct error *err)
{
    if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot create directory '%s'", name);
    }
    cleanup_fd int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 ||
        ((status.st_mode & 0777) != 0755 && fchmod(fd, 0755) < 0)) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open directory '%s'", name);
    }
    return steal_fd(&fd);
}

int links_make_helper(int directory_fd, const char *target, struct error *err)
{
    cleanup_fd int fd = make_directory(directory_fd, "helper", err);
    if (fd < 0) {
        return -1;
    }
    if (make_link(fd, HELPER_LINK, target) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot create link 'helper/" HELPER_LINK "'");
    }
    return 0;
}

static _Noreturn void list_applets(const char *busybox, int output)
{
    char *const argv[] = {(char[]){"busybox"}, (char[]){"--list"}, NULL};
    char *const environment[] = {NULL};
    job_reset_signals();
    (void)setpgid(0, 0);
    (void)dup2(output, STDOUT_FILENO);
    (void)fd_close_range(STDERR_FILENO + 1, ~0U);
    (void)execve(busybox, argv, environment);
    _exit(127);
}

/* Reads a pipe until its end, the ceiling or the deadline; false: not to its end. */
static bool read_list(int fd, struct buffer *out)
{
    int64_t deadline_ms = clock_deadline_ms(LIMIT_APPLETS_MS);
    for (;;) {
        char chunk[4096];
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int ready = poll(&entry, 1, clock_poll_timeout(deadline_ms));
        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            return false;
        }
        ssize_t got = ready < 0 ? -1 : read(fd, chunk, sizeof(chunk));
        if (got == 0) {
            return true;
        }
        if ((got < 0 && errno != EINTR) ||
            (got > 0 && buffer_append(out, chunk, (size_t)got) < 0)) {
            return false;
        }
    }
}

/* 'busybox --list' into 'out'; false: it could not be run. */
static bool run_list(const char *busybox, struct buffer *out)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        list_applets(busybox, ends[1]);
    }
    (void)close(ends[1]);
    bool whole = child > 0 && read_list(ends[0], out);
    (void)close(ends[0]);
    if (child > 0) {
        int status = 0;
        (void)(whole ? 0 : kill(-child, SIGKILL));
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        whole = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return whole && out->length > 0;
}

static bool is_applet_name(const char *name, size_t length)
{
    static const char others[] = "[_.-";
    if (length == 0 || length >= APPLET_NAME_BYTES || name[0] == '.' || name[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool letter = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                      (name[i] >= '0' && name[i] <= '9');
        if (!letter && (name[i] == '\0' || strchr(others, name[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

static int link_applets(int fd, const char *list, const char *target, struct error *err)
{
    char name[APPLET_NAME_BYTES];
    size_t count = 0;
    for (const char *at = list; *at != '\0' && count < LIMIT_APPLETS;) {
        size_t length = strcspn(at, "\n");
        if (is_applet_name(at, length)) {
            memcpy(name, at, length);
            name[length] = '\0';
            if (make_link(fd, name, target) < 0) {
                return error_set(err, ERROR_SYSTEM, errno, "cannot create link 'applets/%s'", name);
            }
            count++;
        }
        at += length;
        at += *at == '\n';
    }
    return 0;
}

int links_make_applets(int directory_fd, const char *busybox, const char *target, struct error *err)
{
    cleanup_buffer struct buffer list;
    buffer_init(&list, LIMIT_APPLETS_BYTES);
    cleanup_fd int fd = make_directory(directory_fd, "applets", err);
    if (fd < 0) {
        return -1;
    }
    bool listed = run_list(busybox, &list);
    if (!listed) {
        log_warn("'%s --list' failed, linking the usual applets", busybox);
    }
    return link_applets(fd, listed ? list.bytes : usual_applets, target, err);
}

int links_program_directory(const char *argv0, char *out, size_t room)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    const char *program = length > 0 ? path : argv0;
    const char *slash = strrchr(program, '/');
    if (slash == NULL) {
        return -1;
    }
    size_t bytes = slash == program ? 1 : (size_t)(slash - program);
    if (bytes >= room) {
        return -1;
    }
    memcpy(out, program, bytes);
    out[bytes] = '\0';
    return 0;
}

/* A new directory in the first place that takes one; -1: none does. */
static int open_own(const struct agent_options *options, struct links *links)
{
    const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/run", options->home_fallback};
    for (size_t i = 0; links->own == NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s/berth-agent-XXXXXX",
                              places[i] == NULL ? "" : places[i]);
        if (places[i] != NULL && length < (int)sizeof(path) && mkdtemp(path) != NULL) {
            links->own = strdup(path);
        }
    }
    if (links->own == NULL) {
        return -1;
    }
    int fd = open(links->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fchmod(fd, 0755) == 0 ? fd : -1;
}

static bool join_into(char path[PATH_MAX], const char *directory, const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX;
}

static char *join(const char *directory, const char *name)
{
    char path[PATH_MAX];
    return join_into(path, directory, name) ? strdup(path) : NULL;
}

/* 'directory'/'name' if the program in it can be executed; else NULL. */
static char *present(const char *directory, const char *name, const char *program)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s/%s", directory, name, program);
    bool there = length < (int)sizeof(path) && access(path, X_OK) == 0;
    return there ? join(directory, name) : NULL;
}

static void open_helper(const struct agent_options *options, struct links *links)
{
    char program[SHELL_PATH_BYTES];
    struct error err = {0};
    if (options->program_directory != NULL) {
        links->helper = present(options->program_directory, "helper", HELPER_LINK);
    }
    if (links->helper != NULL) {
        return;
    }
    const char *path = getenv("PATH");
    if (!shell_find_in(path == NULL ? "" : path, HELPER_PROGRAM, program) &&
        !shell_find_in(HELPER_PLACES, HELPER_PROGRAM, program)) {
        log_warn("no " HELPER_PROGRAM " in this image, not linking " HELPER_LINK);
        return;
    }
    cleanup_fd int fd = open_own(options, links);
    if (fd < 0) {
        log_warn("no directory for the link " HELPER_LINK " can be written; mount one at /tmp");
    } else if (links_make_helper(fd, program, &err) < 0) {
        log_warn("%s, jobs have no " HELPER_LINK, err.message);
    } else {
        links->helper = join(links->own, "helper");
    }
}

static void open_applets(const struct agent_options *options, struct links *links)
{
    struct shell shell;
    struct error err = {0};
    cleanup_free char *path = environment_path(options, links->helper, NULL);
    if (shell_find(path, NULL, &shell)) {
        return;
    }
    char busybox[PATH_MAX];
    if (!join_into(busybox, options->busybox, "busybox") || access(busybox, X_OK) < 0) {
        log_warn("neither this image nor '%s' has a shell", options->busybox);
        return;
    }
    links->applets = present(options->busybox, "applets", "sh");
    if (links->applets != NULL) {
        return;
    }
    cleanup_fd int fd = links->own == NULL ? open_own(options, links)
                                           : open(links->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        log_warn("no directory for busybox's applets can be written; jobs find those alone that "
                 "its sh runs itself");
    } else if (links_make_applets(fd, busybox, busybox, &err) < 0) {
        log_warn("%s, jobs have no applets", err.message);
    } else {
        links->applets = join(links->own, "applets");
    }
}

void links_open(const struct agent_options *options, struct links *out_links)
{
    *out_links = (struct links){0};
    if (options->helper) {
        open_helper(options, out_links);
    }
    if (options->busybox != NULL) {
        open_applets(options, out_links);
    }
}

void links_close(struct links *links)
{
    if (links->own != NULL) {
        (void)!fd_remove_tree(links->own, NULL);
    }
    free(links->helper);
    free(links->applets);
    free(links->own);
    *links = (struct links){0};
}
