/* SPDX-License-Identifier: MIT */
/* A container of a task, for tests/blackbox/support/ecs_play.py; needs root.
 *
 *     ecs-container pause              holds a new network namespace until end of standard input;
 *                                      writes a line when it is there
 *     ecs-container run OPTIONS WORDS  runs WORDS as PID 1 of a container
 *
 *     -n FILE   network namespace           -r DIR   the image: its root directory
 *     -w DIR    an empty directory          -m SOURCE:TARGET[:ro]  a mount; may be repeated
 *     -o        the root is read-only       -t NAME  host name
 *     -u N      user      -g N  group       -G N     another group; may be repeated
 *     -d DIR    working directory           -c MASK  capabilities of root, hexadecimal
 *     -e FILE   where the reason is written if WORDS cannot be executed
 *
 * The environment is the container's. Writes to the image go to memory and are lost at the end.
 * SIGTERM, SIGINT and SIGQUIT are passed on. The exit status is that of WORDS, 128 + n after
 * signal n; the container ends when this program does, and all of its processes with it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MOUNTS 64
#define MAX_GROUPS 16
#define OLD        "/.ecs-container-old"
#define LAST_BIT   63
#define FILES      65535 /* Fargate's default of nofile */

struct container {
    const char *network, *image, *work, *host_name, *directory, *error_file;
    const char *mounts[MAX_MOUNTS];
    size_t mount_count;
    gid_t groups[MAX_GROUPS];
    size_t group_count;
    uid_t user;
    gid_t group;
    unsigned long long capabilities;
    bool read_only;
    char **words;
    int error_fd;
};

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "ecs-container: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static void need(int result, const char *what)
{
    if (result < 0) {
        fail(what);
    }
}

static int pause_until_end(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    need(unshare(CLONE_NEWNET), "network namespace");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    need(fd, "socket");
    need(ioctl(fd, SIOCSIFFLAGS, &loopback), "lo");
    (void)close(fd);
    char byte = '\n';
    need((int)write(STDOUT_FILENO, &byte, 1), "write");
    while (read(STDIN_FILENO, &byte, 1) > 0) {
        continue;
    }
    return 0;
}

static void parse(int count, char **words, struct container *c)
{
    int option = 0;
    while ((option = getopt(count, words, "+n:r:w:m:ot:u:g:G:d:c:e:")) != -1) {
        switch (option) {
        case 'n':
            c->network = optarg;
            break;
        case 'r':
            c->image = optarg;
            break;
        case 'w':
            c->work = optarg;
            break;
        case 'm':
            if (c->mount_count < MAX_MOUNTS) {
                c->mounts[c->mount_count++] = optarg;
            }
            break;
        case 'o':
            c->read_only = true;
            break;
        case 't':
            c->host_name = optarg;
            break;
        case 'u':
            c->user = (uid_t)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            c->group = (gid_t)strtoul(optarg, NULL, 10);
            break;
        case 'G':
            if (c->group_count < MAX_GROUPS) {
                c->groups[c->group_count++] = (gid_t)strtoul(optarg, NULL, 10);
            }
            break;
        case 'd':
            c->directory = optarg;
            break;
        case 'c':
            c->capabilities = strtoull(optarg, NULL, 16);
            break;
        case 'e':
            c->error_file = optarg;
            break;
        default:
            _exit(2);
        }
    }
    c->words = words + optind;
    if (c->image == NULL || c->work == NULL || *c->words == NULL) {
        errno = EINVAL;
        fail("options");
    }
}

static void join_network(const struct container *c)
{
    if (c->network != NULL) {
        int fd = open(c->network, O_RDONLY | O_CLOEXEC);
        need(fd, c->network);
        need(setns(fd, CLONE_NEWNET), c->network);
        (void)close(fd);
    }
}

/* The image below a layer in memory becomes the root, the old root is at OLD. */
static void make_root(const struct container *c)
{
    char options[3 * 4096];
    need(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC), "namespaces");
    need(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    need(mount("tmpfs", c->work, "tmpfs", 0, "mode=0755"), c->work);
    int length =
        snprintf(options, sizeof(options), "lowerdir=%s,upperdir=upper,workdir=work", c->image);
    if (length >= (int)sizeof(options)) {
        errno = ENAMETOOLONG;
        fail(c->image);
    }
    need(chdir(c->work), c->work);
    need(mkdir("upper", 0755), "upper");
    need(mkdir("work", 0755), "work");
    need(mkdir("root", 0755), "root");
    need(mount("overlay", "root", "overlay", 0, options), options);
    need(chdir("root"), "root");
    need(mkdir(OLD + 1, 0700), OLD);
    need((int)syscall(SYS_pivot_root, ".", OLD + 1), "pivot_root");
    need(chdir("/"), "/");
}

/* Makes the directories above 'path', and 'path' itself as a directory or a file. */
static void make_target(char *path, bool is_directory)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    if (is_directory) {
        (void)mkdir(path, 0755);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void mount_one(const char *text)
{
    char source[4096];
    char target[4096];
    struct stat status;
    size_t length = strcspn(text, ":");
    if (text[length] != ':') {
        errno = EINVAL;
        fail(text);
    }
    (void)snprintf(source, sizeof(source), OLD "%.*s", (int)length, text);
    (void)snprintf(target, sizeof(target), "%s", text + length + 1);
    char *option = strchr(target, ':');
    if (option != NULL) {
        *option = '\0';
    }
    need(stat(source, &status), source);
    make_target(target, S_ISDIR(status.st_mode));
    need(mount(source, target, NULL, MS_BIND, NULL), target);
    if (option != NULL) {
        need(mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), target);
    }
}

static void make_devices(void)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"fd/0", "/dev/stdin"},
                                           {"fd/1", "/dev/stdout"},
                                           {"fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    (void)mkdir("/dev", 0755);
    need(mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755"), "/dev");
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "/dev/%s:/dev/%s", nodes[i], nodes[i]);
        mount_one(text);
    }
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        need(symlink(links[i][0], links[i][1]), links[i][1]);
    }
    need(mkdir("/dev/pts", 0755), "/dev/pts");
    need(mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"),
         "/dev/pts");
    need(mkdir("/dev/shm", 01777), "/dev/shm");
    need(mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777,size=64m"), "/dev/shm");
}

static void make_mounts(const struct container *c)
{
    make_devices();
    for (size_t i = 0; i < c->mount_count; i++) {
        mount_one(c->mounts[i]);
    }
    (void)mkdir("/proc", 0555);
    if (c->directory != NULL) { /* a working directory that the image lacks is made */
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s", c->directory);
        make_target(path, true);
    }
}

static void limit_files(void)
{
    struct rlimit files;
    need(getrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
    files.rlim_max = files.rlim_max < FILES ? files.rlim_max : FILES;
    files.rlim_cur = files.rlim_max;
    need(setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
}

static void limit_capabilities(unsigned long long kept)
{
    for (int bit = 0; bit <= LAST_BIT; bit++) {
        if ((kept >> bit & 1) == 0 && prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0 && errno != EINVAL) {
            fail("capabilities");
        }
    }
}

/* Root keeps these, another user has none since the change of user. */
static void keep_capabilities(unsigned long long kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (unsigned)(kept >> (32 * i));
    }
    need((int)syscall(SYS_capset, &header, data), "capset");
}

static _Noreturn void become_program(const struct container *c)
{
    need(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "/proc");
    if (c->host_name != NULL) {
        need(sethostname(c->host_name, strlen(c->host_name)), c->host_name);
    }
    need(umount2(OLD, MNT_DETACH), OLD);
    need(rmdir(OLD), OLD);
    if (c->read_only) {
        need(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "read-only root");
    }
    limit_files();
    limit_capabilities(c->capabilities);
    need(setgroups(c->group_count, c->groups), "setgroups");
    need(setresgid(c->group, c->group, c->group), "setresgid");
    need(setresuid(c->user, c->user, c->user), "setresuid");
    if (c->user == 0) {
        keep_capabilities(c->capabilities);
    }
    need(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
    need(setsid(), "setsid");
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (c->directory == NULL || chdir(c->directory) == 0) {
        (void)execvp(c->words[0], c->words);
    }
    if (c->error_fd >= 0) {
        (void)dprintf(c->error_fd, "exec: \"%s\": %s", c->words[0], strerror(errno));
    }
    _exit(errno == ENOENT ? 127 : 126);
}

static int wait_for(pid_t child, const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        int status = 0;
        need(sigwait(signals, &number) == 0 ? 0 : -1, "sigwait");
        if (number != SIGCHLD) {
            (void)kill(child, number);
        } else if (waitpid(child, &status, WNOHANG) == child) {
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
}

static int run(int count, char **words)
{
    static const int passed[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD};
    struct container c = {.error_fd = -1};
    sigset_t signals;
    parse(count, words, &c);
    (void)sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        (void)sigaddset(&signals, passed[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)umask(022);
    if (c.error_file != NULL) {
        c.error_fd = open(c.error_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        need(c.error_fd, c.error_file);
    }
    join_network(&c);
    make_root(&c);
    make_mounts(&c);
    /* Not unshare(): this process stays in its own namespace, where it can wait and has a name. */
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, NULL, NULL, NULL, NULL);
    need(child, "clone");
    if (child == 0) {
        become_program(&c);
    }
    return wait_for(child, &signals);
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "pause") == 0) {
        _exit(pause_until_end());
    }
    if (count > 2 && strcmp(words[1], "run") == 0) {
        _exit(run(count - 1, words + 1));
    }
    (void)fprintf(stderr, "usage: ecs-container pause | run OPTIONS WORDS\n");
    return 2;
}
