/* SPDX-License-Identifier: MIT */
/*
 * The backend 'local': a task is an agent process in a session of its own on loopback, with its
 * own HOME, builds and temporary directory below [Local] Directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/backend/backend.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/local/environment.h"
#include "driver/backend/local/logs.h"
#include "driver/base/json.h"
#include "driver/base/process_id.h"
#include "driver/base/program.h"
#include "driver/record/metadata_directory.h"

#define LOG_CEILING    (1UL << 20)
#define AGENT_SPARE_MS 2000 /* what an agent may take on top of its grace period to end */
#define SWEEP_MS       3000
#define LOG_TAIL_BYTES 600

/* How much longer the agent keeps a job without a connection than the driver tries to reconnect. */
#define DETACH_SPARE_MS (60 * 1000)
#define CHILD_READY_FD  3
#define CHILD_AGENT_FD  4

static int join_path(char out[PATH_MAX], const char *directory, const char *name, struct error *err)
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
    char place[CONFIG_PLACE_BYTES];
    if (config->local_directory[0] != '/') {
        return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not an absolute path",
                         config_place(config, &config->local_directory, "[Local] Directory", place),
                         config->local_directory);
    }
    if (config->local_agent != NULL && access(config->local_agent, X_OK) < 0) {
        int reason = errno;
        return error_set(err, ERROR_USAGE, reason, "%s: cannot execute '%s'",
                         config_place(config, &config->local_agent, "BERTH_AGENT", place),
                         config->local_agent);
    }
    return 0;
}

static int local_directories(const struct config *config, const char *job,
                             struct backend_directories *out_directories, struct error *err)
{
    char own[PATH_MAX];
    if (join_path(own, config->local_directory, job, err) < 0 ||
        join_path(out_directories->builds, own, "builds", err) < 0) {
        return -1;
    }
    return join_path(out_directories->cache, config->local_directory, "cache", err);
}

static int local_plan(struct backend_task *task, struct error *err)
{
    char directory[PATH_MAX];
    if (join_path(directory, task->config->local_directory, task->metadata->job, err) < 0) {
        return -1;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, "directory");
    if (cJSON_AddStringToObject(task->metadata->state, "directory", directory) == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot record the task");
    }
    return 0;
}

static int load_identity(const struct metadata *metadata, struct process_id *out_identity)
{
    int64_t pid = json_number_at(metadata->state, "pid");
    const char *boot = json_text_at(metadata->state, "boot");
    if (pid <= 0 || pid > INT32_MAX || boot == NULL) {
        return -1;
    }
    *out_identity = (struct process_id){
        .pid = (pid_t)pid, .start_ticks = (uint64_t)json_number_at(metadata->state, "start")};
    (void)snprintf(out_identity->boot, sizeof(out_identity->boot), "%s", boot);
    return 0;
}

static int store_identity(struct metadata *metadata, const struct process_id *identity,
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

/* Base and job directory are private; a base in which another user can write is not trusted. */
static int make_directories(const struct backend_task *task, struct error *err)
{
    static const char *const names[] = {"home", "builds", "tmp"};
    const char *base = task->config->local_directory;
    char path[PATH_MAX];
    struct stat status;
    if (fd_make_directories(base, 0700, err) < 0) {
        return -1;
    }
    if (stat(base, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open [Local] Directory '%s'", base);
    }
    if (metadata_directory_check("[Local] Directory", base, &status, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (join_path(path, directory_of(task->metadata), names[i], err) < 0 ||
            fd_make_directories(path, 0700, err) < 0) {
            return -1;
        }
    }
    return join_path(path, base, "cache", err) < 0 ? -1 : fd_make_directories(path, 0700, err);
}

static void log_tail(const struct metadata *metadata, char *out, size_t room)
{
    char path[PATH_MAX];
    struct buffer text;
    buffer_init(&text, LOG_CEILING);
    out[0] = '\0';
    if (join_path(path, directory_of(metadata), "agent.log", NULL) == 0 &&
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

/* The descriptors between driver and agent during startup. */
struct start {
    int ready[2]; /* the agent writes its port */
    int gate[2];  /* a byte is written once the agent's identity is on disk */
    int log_fd, agent_fd;
};

static int open_start(struct start *start, const struct backend_task *task, struct error *err)
{
    char path[PATH_MAX];
    if (join_path(path, directory_of(task->metadata), "agent.log", err) < 0) {
        return -1;
    }
    start->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (start->log_fd < 0 || pipe2(start->ready, O_CLOEXEC) < 0 ||
        pipe2(start->gate, O_CLOEXEC) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    if (task->config->local_agent == NULL) {
        start->agent_fd = embedded_agent_open();
    }
    return 0;
}

static void close_start(struct start *start)
{
    int *const fds[] = {&start->ready[0], &start->ready[1], &start->gate[0],
                        &start->gate[1],  &start->log_fd,   &start->agent_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        cleanup_fd_fn(fds[i]);
    }
}

/* Puts descriptors where the agent expects them. The driver's own are closed: the runner waits
 * until its output pipe is closed everywhere. */
static void arrange_descriptors(const struct start *start)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ready_fd = fcntl(start->ready[1], F_DUPFD_CLOEXEC, 16);
    int agent_fd = start->agent_fd < 0 ? -1 : fcntl(start->agent_fd, F_DUPFD_CLOEXEC, 16);
    int log_fd = fcntl(start->log_fd, F_DUPFD_CLOEXEC, 16);
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
exec_agent(const struct backend_task *task, struct start *start, char *const envp[], pid_t parent)
{
    char go;
    char copy[PATH_MAX];
    char grace[32];
    char detach[32];
    cleanup_fd_fn(&start->gate[1]); /* else the gate stays open when the parent ends */
    if (task->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)) {
        _exit(126);
    }
    if (setsid() < 0 || read(start->gate[0], &go, 1) != 1 ||
        join_path(copy, directory_of(task->metadata), "home", NULL) < 0 || chdir(copy) < 0) {
        _exit(126);
    }
    (void)snprintf(grace, sizeof(grace), "%lldms", (long long)task->config->cancel_grace_ms);
    (void)snprintf(detach, sizeof(detach), "%lldms",
                   (long long)task->config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    const char *const argv[] = {"berth-agent", "--listen", "127.0.0.1:0",      "--ready-fd", "3",
                                "--grace",     grace,      "--detach-timeout", detach,       NULL};
    (void)join_path(copy, directory_of(task->metadata), "berth-agent", NULL);
    signals_restore_defaults();
    (void)umask(022);
    arrange_descriptors(start);
    /* execve() takes char *const for historical reasons and does not write to it. */
    char *const *arguments = (char *const *)(uintptr_t)argv;
    if (task->config->local_agent != NULL) {
        (void)execve(task->config->local_agent, arguments, envp);
    } else {
        embedded_agent_exec(start->agent_fd < 0 ? -1 : CHILD_AGENT_FD, copy, arguments, envp);
    }
    dprintf(STDERR_FILENO, "%s: cannot execute the agent: %s\n", program_name(), strerror(errno));
    _exit(127);
}

static int ended_early(const struct backend_task *task, struct error *err)
{
    char tail[LOG_TAIL_BYTES];
    log_tail(task->metadata, tail, sizeof(tail));
    return error_set(err, ERROR_SYSTEM, 0, "the agent exited during startup%s%s",
                     tail[0] != '\0' ? ": " : " without output", tail);
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
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                             "the agent did not start listening in time");
        }
        ssize_t got = read(fd, text + length, sizeof(text) - 1 - length);
        if (got <= 0 || length + (size_t)got >= sizeof(text) - 1) {
            return ended_early(task, err);
        }
        length += (size_t)got;
    }
    text[length - 1] = '\0';
    int64_t port = 0;
    if (parse_integer(text, 1, 65535, &port) < 0) {
        return error_set(err, ERROR_PEER, 0, "the agent did not report its port");
    }
    *out_port = (int)port;
    return 0;
}

/* After fork(): the child waits at the gate until its identity is on disk. If this process ends
 * before that, the gate closes and the child exits; afterwards cleanup finds it by that identity.
 */
static int register_child(struct backend_task *task, struct start *start, pid_t pid,
                          struct error *err)
{
    struct process_id identity;
    if (process_id_get(pid, &identity, err) < 0 ||
        store_identity(task->metadata, &identity, err) < 0 ||
        (task->persist != NULL && task->persist(task, err) < 0)) {
        cleanup_fd_fn(&start->gate[1]);
        (void)waitpid(pid, NULL, 0);
        return -1;
    }
    if (write(start->gate[1], "", 1) != 1) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    cleanup_fd_fn(&start->ready[1]); /* so that the agent's exit is seen as EOF */
    return 0;
}

static int run_start(struct backend_task *task, struct start *start, int64_t deadline_ms,
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
        exec_agent(task, start, local_environment_entries(environment), parent);
    }
    int result = pid < 0 ? error_set(err, ERROR_SYSTEM, errno, "cannot start the agent")
                         : register_child(task, start, pid, err);
    local_environment_free(environment);
    if (result == 0) {
        result = read_port(task, start->ready[0], deadline_ms,
                           &task->metadata->agents[METADATA_JOB].port, err);
    }
    return result;
}

static int start_agent(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct start start = {{-1, -1}, {-1, -1}, -1, -1};
    int result = open_start(&start, task, err);
    if (result == 0) {
        result = run_start(task, &start, deadline_ms, err);
    }
    close_start(&start);
    return result;
}

static int local_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    int result = make_directories(task, err);
    if (result == 0) {
        result = start_agent(task, deadline_ms, err);
    }
    if (result < 0) {
        return error_wrap(err, "cannot launch a local task");
    }
    (void)snprintf(task->metadata->agents[METADATA_JOB].host,
                   sizeof(task->metadata->agents[METADATA_JOB].host), "127.0.0.1");
    return 0;
}

static int local_alive(struct backend_task *task, enum backend_asking asking, struct error *err)
{
    (void)asking;
    struct process_id identity;
    if (load_identity(task->metadata, &identity) < 0 || !process_id_runs(&identity)) {
        char tail[LOG_TAIL_BYTES] = "";
        if (directory_of(task->metadata) != NULL) {
            log_tail(task->metadata, tail, sizeof(tail));
        }
        return error_set(err, ERROR_SYSTEM, 0, "the agent of the local task has exited%s%s",
                         tail[0] != '\0' ? ": " : "", tail);
    }
    return 0;
}

static void end_agent(const struct backend_task *task, int64_t deadline_ms)
{
    struct process_id identity;
    if (load_identity(task->metadata, &identity) < 0 || !process_id_runs(&identity)) {
        return;
    }
    process_id_signal(&identity, SIGTERM);
    int64_t agent_end_ms = clock_deadline_ms(task->config->cancel_grace_ms + AGENT_SPARE_MS);
    if (!process_id_wait(&identity, clock_earlier_ms(deadline_ms, agent_end_ms))) {
        process_id_kill_tree(&identity);
        (void)process_id_wait(&identity, clock_deadline_ms(SWEEP_MS));
    }
}

/* Removes only a directory that plan() could have made, even if the metadata names another. */
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
    /* Processes of a killed agent are found by their HOME, which no other process has. */
    (void)snprintf(marker, sizeof(marker), "HOME=%s/home", directory);
    int left = process_id_kill_marked(marker, clock_deadline_ms(SWEEP_MS));
    if (left > 0) {
        return error_set(err, ERROR_SYSTEM, 0, "%d processes of the local task are still running",
                         left);
    }
    return remove_directory(task->metadata, err);
}

static void local_describe(const struct backend_task *task, char *out, size_t room)
{
    struct process_id identity = {.pid = 0};
    (void)load_identity(task->metadata, &identity);
    (void)snprintf(out, room, "local-%d", (int)identity.pid);
}

static int by_age(const void *a, const void *b)
{
    int64_t first = ((const struct backend_listed *)a)->started_at_s;
    int64_t second = ((const struct backend_listed *)b)->started_at_s;
    return (first > second) - (first < second);
}

struct local_listing {
    const struct config *config;
    struct backend_listed *entries;
    size_t count;
};

static void fill_listed(const struct metadata *metadata, struct backend_listed *out_listed)
{
    const struct backend_task task = {.metadata = (struct metadata *)(uintptr_t)metadata};
    struct process_id identity;
    bool runs = load_identity(metadata, &identity) == 0 && process_id_runs(&identity);
    *out_listed =
        (struct backend_listed){.started_at_s = metadata->origin.started_at_s, .ended = !runs};
    local_describe(&task, out_listed->id, sizeof(out_listed->id));
    (void)snprintf(out_listed->job, sizeof(out_listed->job), "%s", metadata->job);
    (void)snprintf(out_listed->url, sizeof(out_listed->url), "%s", metadata->origin.url);
    (void)snprintf(out_listed->state, sizeof(out_listed->state), "%s", runs ? "running" : "ended");
}

static int add_listed(void *context, const char *job, struct error *err)
{
    struct local_listing *listing = context;
    struct metadata *metadata = NULL;
    struct error unusable;
    int found = metadata_load(listing->config->metadata_directory, job, &metadata, &unusable);
    if (found < 0) {
        log_warn("%s", unusable.message);
    }
    if (found <= 0 || strcmp(metadata->backend, backend_local.name) != 0) {
        metadata_free(metadata);
        return 0;
    }
    struct backend_listed *entries =
        reallocarray(listing->entries, listing->count + 1, sizeof(*entries));
    if (entries != NULL) {
        listing->entries = entries;
        fill_listed(metadata, &entries[listing->count++]);
    }
    metadata_free(metadata);
    return entries != NULL ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
}

/* Local tasks are known by their metadata alone. */
static int local_list(const struct config *config, backend_visit *visit, void *context,
                      int64_t deadline_ms, struct error *err)
{
    struct local_listing listing = {.config = config};
    (void)deadline_ms;
    int result = metadata_directory_each(config->metadata_directory, add_listed, &listing, err);
    if (listing.count > 0) {
        qsort(listing.entries, listing.count, sizeof(*listing.entries), by_age);
    }
    for (size_t i = 0; result == 0 && i < listing.count; i++) {
        result = visit(context, &listing.entries[i], err);
    }
    free(listing.entries);
    return result;
}

const struct backend backend_local = {
    .name = "local",
    .summary = "a process of its own on this machine",
    .list_pause_ms = 2000,
    .check = local_check,
    .directories = local_directories,
    .plan = local_plan,
    .launch = local_launch,
    .alive = local_alive,
    .stop = local_stop,
    .list = local_list,
    .logs = local_logs,
    .describe = local_describe,
};
