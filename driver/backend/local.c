/* SPDX-License-Identifier: MIT */
/*
 * The backend 'local': a task is an agent process in a session of its own on loopback, with its
 * own HOME, builds and temporary directory below [Local] Directory.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend.h"
#include "driver/backend/local_private.h"
#include "driver/process.h"

#define LOG_CEILING    (1UL << 20)
#define AGENT_SPARE_MS 2000 /* what an agent may take on top of its grace period to end */
#define SWEEP_MS       3000

int local_join(char out[PATH_MAX], const char *directory, const char *name, struct error *err)
{
    int length = snprintf(out, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX
               ? 0
               : error_set(err, ERROR_USAGE, ENAMETOOLONG, "[Local] Directory '%s'", directory);
}

const char *local_directory_of(const struct metadata *metadata)
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
    if (local_join(own, config->local_directory, job, err) < 0 ||
        local_join(out_directories->builds, own, "builds", err) < 0) {
        return -1;
    }
    return local_join(out_directories->cache, config->local_directory, "cache", err);
}

static int local_plan(struct backend_task *task, struct error *err)
{
    char directory[PATH_MAX];
    if (local_join(directory, task->config->local_directory, task->metadata->job, err) < 0) {
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

int local_store_identity(struct metadata *metadata, const struct process_identity *identity,
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
        if (local_join(path, local_directory_of(task->metadata), names[i], err) < 0 ||
            fd_make_directories(path, 0700, err) < 0) {
            return -1;
        }
    }
    return local_join(path, base, "cache", err) < 0 ? -1 : fd_make_directories(path, 0700, err);
}

void local_log_tail(const struct metadata *metadata, char *out, size_t room)
{
    char path[PATH_MAX];
    struct buffer text;
    buffer_init(&text, LOG_CEILING);
    out[0] = '\0';
    if (local_join(path, local_directory_of(metadata), "agent.log", NULL) == 0 &&
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

static int local_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    int result = make_directories(task, err);
    if (result == 0) {
        result = local_birth(task, deadline_ms, err);
    }
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
        char tail[LOCAL_LOG_TAIL_BYTES] = "";
        if (local_directory_of(task->metadata) != NULL) {
            local_log_tail(task->metadata, tail, sizeof(tail));
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
    const char *directory = local_directory_of(metadata);
    const char *name = strrchr(directory, '/');
    if (name == NULL || directory[0] != '/' || strcmp(name + 1, metadata->job) != 0) {
        return error_set(err, ERROR_SYSTEM, 0, "'%s' is not the directory of '%s', not removed",
                         directory, metadata->job);
    }
    return fd_remove_tree(directory, err);
}

static int local_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    const char *directory = local_directory_of(task->metadata);
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
