/* SPDX-License-Identifier: MIT */
/*
 * The backend 'local': a task is an agent process in a session of its own on loopback, with its
 * own HOME, builds and temporary directory below [Local] Directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/parse.h"
#include "driver/backend.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/local_environment.h"
#include "driver/process.h"

#define LOG_TAIL_BYTES 600
#define LOG_CEILING    (1UL << 20)
#define AGENT_SPARE_MS 2000 /* what an agent may take on top of its grace period to end */
#define SWEEP_MS       3000
/* What a job that lost its link waits for us beyond our own patience: it must not be the agent
 * that gives up first. */
#define DETACH_SPARE_MS (60 * 1000)
#define CHILD_READY_FD  3
#define CHILD_AGENT_FD  4

/* The descriptors between us and an agent that is being born. */
struct birth {
    int ready[2]; /* the agent writes its port */
    int gate[2];  /* we write a byte once the agent's identity is on disk */
    int log_fd, agent_fd;
};

static int join(char out[PATH_MAX], const char *directory, const char *name, struct error *err)
{
    int length = snprintf(out, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX
               ? 0
               : error_set(err, ERROR_USAGE, ENAMETOOLONG, "[Local] Directory '%s'", directory);
}

static const char *directory_of(const struct metadata *metadata)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(metadata->state, "directory");
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static int local_check(const struct config *config, struct error *err)
{
    if (config->local_directory[0] != '/') {
        return error_set(err, ERROR_USAGE, 0, "[Local] Directory '%s' is not an absolute path",
                         config->local_directory);
    }
    if (config->local_agent != NULL && access(config->local_agent, X_OK) < 0) {
        return error_set(err, ERROR_USAGE, errno, "cannot execute [Local] Agent '%s'",
                         config->local_agent);
    }
    return 0;
}

static int local_directories(const struct config *config, const char *job,
                             struct backend_directories *out_directories, struct error *err)
{
    char own[PATH_MAX];
    if (join(own, config->local_directory, job, err) < 0 ||
        join(out_directories->builds, own, "builds", err) < 0) {
        return -1;
    }
    return join(out_directories->cache, config->local_directory, "cache", err);
}

static int local_plan(struct backend_task *task, struct error *err)
{
    char directory[PATH_MAX];
    if (join(directory, task->config->local_directory, task->metadata->job, err) < 0) {
        return -1;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, "directory");
    if (cJSON_AddStringToObject(task->metadata->state, "directory", directory) == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot plan the task");
    }
    return 0;
}

static int load_identity(const struct metadata *metadata, struct process_identity *out_identity)
{
    const cJSON *pid = cJSON_GetObjectItemCaseSensitive(metadata->state, "pid");
    const cJSON *start = cJSON_GetObjectItemCaseSensitive(metadata->state, "start");
    const cJSON *boot = cJSON_GetObjectItemCaseSensitive(metadata->state, "boot");
    if (!cJSON_IsNumber(pid) || !cJSON_IsNumber(start) || !cJSON_IsString(boot)) {
        return -1;
    }
    out_identity->pid = (pid_t)pid->valuedouble;
    out_identity->start_ticks = (uint64_t)start->valuedouble;
    (void)snprintf(out_identity->boot, sizeof(out_identity->boot), "%s", boot->valuestring);
    return 0;
}

static int store_identity(struct metadata *metadata, const struct process_identity *identity,
                          struct error *err)
{
    static const char *const names[] = {"pid", "start", "boot"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, names[i]);
    }
    if (cJSON_AddNumberToObject(metadata->state, "pid", identity->pid) == NULL ||
        cJSON_AddNumberToObject(metadata->state, "start", (double)identity->start_ticks) == NULL ||
        cJSON_AddStringToObject(metadata->state, "boot", identity->boot) == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the agent's process id");
    }
    return 0;
}

/* Base and job directory are private; a base that somebody else owns is not trusted. */
static int make_directories(const struct backend_task *task, struct error *err)
{
    static const char *const names[] = {"home", "builds", "tmp"};
    const char *base = task->config->local_directory;
    char path[PATH_MAX];
    struct stat status;
    if (fd_make_directories(base, 0700, err) < 0) {
        return -1;
    }
    if (stat(base, &status) < 0 || status.st_uid != geteuid() || (status.st_mode & S_IWOTH) != 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Local] Directory '%s' must be yours and not writable by everybody",
                         base);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (join(path, directory_of(task->metadata), names[i], err) < 0 ||
            fd_make_directories(path, 0700, err) < 0) {
            return -1;
        }
    }
    return join(path, base, "cache", err) < 0 ? -1 : fd_make_directories(path, 0700, err);
}

static int open_birth(struct birth *birth, const struct backend_task *task, struct error *err)
{
    char path[PATH_MAX];
    if (join(path, directory_of(task->metadata), "agent.log", err) < 0) {
        return -1;
    }
    birth->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (birth->log_fd < 0 || pipe2(birth->ready, O_CLOEXEC) < 0 ||
        pipe2(birth->gate, O_CLOEXEC) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    if (task->config->local_agent == NULL) {
        birth->agent_fd = embedded_agent_open();
    }
    return 0;
}

static void close_birth(struct birth *birth)
{
    int *const fds[] = {&birth->ready[0], &birth->ready[1], &birth->gate[0],
                        &birth->gate[1],  &birth->log_fd,   &birth->agent_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        cleanup_fd_fn(fds[i]);
    }
}

/* Puts descriptors where the agent expects them: nothing of the driver's stays open, or the
 * runner would wait for the agent to close the driver's output. */
static void arrange_descriptors(const struct birth *birth)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ready_fd = fcntl(birth->ready[1], F_DUPFD_CLOEXEC, 16);
    int agent_fd = birth->agent_fd < 0 ? -1 : fcntl(birth->agent_fd, F_DUPFD_CLOEXEC, 16);
    int log_fd = fcntl(birth->log_fd, F_DUPFD_CLOEXEC, 16);
    if (null_fd < 0 || ready_fd < 0 || log_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0 ||
        dup2(ready_fd, CHILD_READY_FD) < 0) {
        _exit(126);
    }
    unsigned int keep = CHILD_READY_FD + 1;
    if (agent_fd >= 0 && dup3(agent_fd, CHILD_AGENT_FD, O_CLOEXEC) == CHILD_AGENT_FD) {
        keep = CHILD_AGENT_FD + 1;
    }
    (void)fd_close_range(keep, ~0U);
}

__attribute__((noreturn)) static void
become_agent(const struct backend_task *task, struct birth *birth, char *const envp[], pid_t parent)
{
    char go;
    char copy[PATH_MAX];
    char grace[32];
    char detach[32];
    cleanup_fd_fn(&birth->gate[1]); /* or the gate would never close with our parent's end */
    if (task->tied && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)) {
        _exit(126);
    }
    if (setsid() < 0 || read(birth->gate[0], &go, 1) != 1 ||
        join(copy, directory_of(task->metadata), "home", NULL) < 0 || chdir(copy) < 0) {
        _exit(126);
    }
    (void)snprintf(grace, sizeof(grace), "%lldms", (long long)task->config->cancel_grace_ms);
    (void)snprintf(detach, sizeof(detach), "%lldms",
                   (long long)task->config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    const char *const argv[] = {"berth-agent", "--listen", "127.0.0.1:0",      "--ready-fd", "3",
                                "--grace",     grace,      "--detach-timeout", detach,       NULL};
    (void)join(copy, directory_of(task->metadata), "berth-agent", NULL);
    signals_restore_defaults();
    (void)umask(022);
    arrange_descriptors(birth);
    /* exec takes char *const for the sake of old code; nobody writes through it. */
    char *const *arguments = (char *const *)(uintptr_t)argv;
    if (task->config->local_agent != NULL) {
        (void)execve(task->config->local_agent, arguments, envp);
    } else {
        embedded_agent_exec(birth->agent_fd < 0 ? -1 : CHILD_AGENT_FD, copy, arguments, envp);
    }
    dprintf(STDERR_FILENO, "berth-driver: cannot execute the agent: %s\n", strerror(errno));
    _exit(127);
}

/* The end of the agent's log in one line, for an error message. */
static void log_tail(const struct metadata *metadata, char *out, size_t room)
{
    char path[PATH_MAX];
    struct buffer text;
    buffer_init(&text, LOG_CEILING);
    out[0] = '\0';
    if (join(path, directory_of(metadata), "agent.log", NULL) == 0 &&
        fd_read_file(path, &text, NULL) == 0 && text.bytes != NULL) {
        size_t skip = text.length > room - 1 ? text.length - (room - 1) : 0;
        (void)snprintf(out, room, "%s", text.bytes + skip);
        for (size_t length = strlen(out); length > 0 && out[length - 1] == '\n'; length--) {
            out[length - 1] = '\0';
        }
        for (char *at = out; (at = strchr(at, '\n')) != NULL;) {
            *at = ' ';
        }
    }
    buffer_done(&text);
}

static int died_at_start(const struct backend_task *task, struct error *err)
{
    char tail[LOG_TAIL_BYTES];
    log_tail(task->metadata, tail, sizeof(tail));
    return error_set(err, ERROR_SYSTEM, 0, "the agent ended at its start: %s",
                     tail[0] != '\0' ? tail : "it said nothing");
}

/* Reads "PORT\n" from the agent. */
static int read_port(const struct backend_task *task, int fd, int64_t deadline_ms, int *out_port,
                     struct error *err)
{
    char text[16] = "";
    size_t length = 0;
    while (length == 0 || text[length - 1] != '\n') {
        int ready = signals_wait(task->signals, fd, deadline_ms);
        if (ready < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (ready == 0) {
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT, "the agent does not listen in time");
        }
        ssize_t got = read(fd, text + length, sizeof(text) - 1 - length);
        if (got <= 0 || length + (size_t)got >= sizeof(text) - 1) {
            return died_at_start(task, err);
        }
        length += (size_t)got;
    }
    text[length - 1] = '\0';
    int64_t port = 0;
    if (parse_integer(text, 1, 65535, &port) < 0) {
        return error_set(err, ERROR_PEER, 0, "the agent named no port");
    }
    *out_port = (int)port;
    return 0;
}

/* Behind fork(): the child waits at the gate until its identity is on disk. If this process dies
 * before that, the gate closes and the child ends; later, cleanup finds it by that identity. */
static int register_child(struct backend_task *task, struct birth *birth, pid_t pid,
                          struct error *err)
{
    struct process_identity identity;
    if (process_identify(pid, &identity, err) < 0 ||
        store_identity(task->metadata, &identity, err) < 0 ||
        (task->persist != NULL && task->persist(task, err) < 0)) {
        cleanup_fd_fn(&birth->gate[1]);
        (void)waitpid(pid, NULL, 0);
        return -1;
    }
    if (write(birth->gate[1], "", 1) != 1) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    cleanup_fd_fn(&birth->ready[1]); /* so that the agent's end is seen as EOF */
    return 0;
}

static int give_birth(struct backend_task *task, struct birth *birth, int64_t deadline_ms,
                      struct error *err)
{
    struct local_environment *environment = local_environment_new(
        task->config, directory_of(task->metadata), task->metadata->keys, err);
    if (environment == NULL) {
        return -1;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_agent(task, birth, local_environment_entries(environment), parent);
    }
    int result = pid < 0 ? error_set(err, ERROR_SYSTEM, errno, "cannot start the agent")
                         : register_child(task, birth, pid, err);
    local_environment_free(environment);
    if (result == 0) {
        result = read_port(task, birth->ready[0], deadline_ms, &task->metadata->port, err);
    }
    return result;
}

static int local_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct birth birth = {{-1, -1}, {-1, -1}, -1, -1};
    int result = make_directories(task, err);
    if (result == 0) {
        result = open_birth(&birth, task, err);
    }
    if (result == 0) {
        result = give_birth(task, &birth, deadline_ms, err);
    }
    close_birth(&birth);
    if (result < 0) {
        return error_wrap(err, "cannot launch a local task");
    }
    (void)snprintf(task->metadata->host, sizeof(task->metadata->host), "127.0.0.1");
    return 0;
}

static int local_alive(struct backend_task *task, struct error *err)
{
    struct process_identity identity;
    if (load_identity(task->metadata, &identity) < 0 || !process_runs(&identity)) {
        char tail[LOG_TAIL_BYTES] = "";
        if (directory_of(task->metadata) != NULL) {
            log_tail(task->metadata, tail, sizeof(tail));
        }
        return error_set(err, ERROR_SYSTEM, 0, "the agent of the local task has ended%s%s",
                         tail[0] != '\0' ? ": " : "", tail);
    }
    return 0;
}

static void end_agent(const struct backend_task *task, int64_t deadline_ms)
{
    struct process_identity identity;
    if (load_identity(task->metadata, &identity) < 0 || !process_runs(&identity)) {
        return;
    }
    process_signal(&identity, SIGTERM);
    int64_t patience_ms = clock_deadline_ms(task->config->cancel_grace_ms + AGENT_SPARE_MS);
    if (!process_wait_end(&identity, clock_earlier_ms(deadline_ms, patience_ms))) {
        process_kill_tree(&identity);
        (void)process_wait_end(&identity, clock_deadline_ms(SWEEP_MS));
    }
}

/* Only a directory with the shape that plan gives it is removed, whatever the file says. */
static int remove_directory(const struct metadata *metadata, struct error *err)
{
    const char *directory = directory_of(metadata);
    const char *name = strrchr(directory, '/');
    if (name == NULL || directory[0] != '/' || strcmp(name + 1, metadata->job) != 0) {
        return error_set(err, ERROR_SYSTEM, 0, "'%s' is not the directory of '%s', not removed",
                         directory, metadata->job);
    }
    return fd_remove_tree(directory, err);
}

static int local_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    const char *directory = directory_of(task->metadata);
    char marker[PATH_MAX + 16];
    if (directory == NULL) {
        return 0;
    }
    end_agent(task, deadline_ms);
    /* What an agent left that was killed itself has this HOME, which no other process has. */
    (void)snprintf(marker, sizeof(marker), "HOME=%s/home", directory);
    int left = process_kill_marked(marker, clock_deadline_ms(SWEEP_MS));
    if (left > 0) {
        return error_set(err, ERROR_SYSTEM, 0, "%d processes of the local task do not end", left);
    }
    return remove_directory(task->metadata, err);
}

static void local_describe(const struct backend_task *task, char *out, size_t room)
{
    struct process_identity identity = {.pid = 0};
    (void)load_identity(task->metadata, &identity);
    (void)snprintf(out, room, "local-%d", (int)identity.pid);
}

const struct backend backend_local = {
    .name = "local",
    .summary = "a process of its own on this machine",
    .check = local_check,
    .directories = local_directories,
    .plan = local_plan,
    .launch = local_launch,
    .alive = local_alive,
    .stop = local_stop,
    .describe = local_describe,
};
