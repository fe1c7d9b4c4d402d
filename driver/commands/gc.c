/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "driver/backend/ecs/registration.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/commands/command.h"
#include "driver/commands/job_history.h"
#include "driver/record/metadata_directory.h"
#include "driver/task/task.h"
#include "driver/task/task_summary.h"

#define LIST_MS      60000
#define REASON_BYTES 96

struct orphan {
    struct backend_listed listed;
    bool has_task; /* false: metadata alone */
};

/* Orphaned tasks, collected before the first is stopped: stopping would change the list. */
struct orphans {
    bool json;
    const struct config *config;
    const struct backend *backend;
    struct orphan *entries;
    size_t count;
};

static bool has_job(const struct orphans *orphans, const char *job)
{
    for (size_t i = 0; i < orphans->count; i++) {
        if (strcmp(orphans->entries[i].listed.job, job) == 0) {
            return true;
        }
    }
    return false;
}

static int add(struct orphans *orphans, const struct backend_listed *listed, bool has_task,
               struct error *err)
{
    struct backend_listed found = *listed;
    task_summary_find_record(&found, orphans->config);
    if (task_summary_is_known(&found, orphans->config, clock_unix_s())) {
        return 0;
    }
    struct orphan *entries = reallocarray(orphans->entries, orphans->count + 1, sizeof(*entries));
    if (entries == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    orphans->entries = entries;
    orphans->entries[orphans->count++] = (struct orphan){.listed = found, .has_task = has_task};
    return 0;
}

static int collect(void *context, const struct backend_listed *listed, struct error *err)
{
    return add(context, listed, true, err);
}

/* A job whose task is not in the backend's list: it has ended or was never started. */
static int collect_unlisted(void *context, const char *job, struct error *err)
{
    struct orphans *orphans = context;
    struct task task = {.backend_task = {.config = orphans->config}};
    struct error unusable;
    int result = 0;
    int found = task_find(&task, job, &unusable);
    if (found < 0) {
        char text[ERROR_TEXT_BYTES];
        log_warn("%s", error_text(&unusable, text));
    } else if (found == 1 && task.backend == orphans->backend && !has_job(orphans, job)) {
        struct backend_listed listed = {.started_at_s =
                                            task.backend_task.metadata->origin.started_at_s};
        (void)snprintf(listed.job, sizeof(listed.job), "%s", job);
        (void)snprintf(listed.id, sizeof(listed.id), "%s", task.name);
        (void)snprintf(listed.state, sizeof(listed.state), "no task");
        result = add(orphans, &listed, false, err);
    }
    task_done(&task);
    return result;
}

static int collect_all(struct orphans *orphans, struct error *err)
{
    const char *directory = orphans->config->metadata_directory;
    if (orphans->backend->list(orphans->config, collect, orphans, clock_deadline_ms(LIST_MS), err) <
        0) {
        return -1;
    }
    /* Fails before anything is stopped if another user could write to the directory. */
    return metadata_directory_each(directory, collect_unlisted, orphans, err);
}

/* Without its directory, perhaps one that is not mounted, the task of every running job looks like
 * an orphan. */
static int check_directory(const struct config *config, struct error *err)
{
    int fd = -1;
    int found = metadata_directory_open(config->metadata_directory, &fd, err);
    if (found == 1) {
        (void)close(fd);
        return 0;
    }
    if (found < 0) {
        return -1;
    }
    (void)error_set(err, ERROR_SYSTEM, 0,
                    "'%s' does not exist, so the task of every running job looks like an orphan; "
                    "nothing was stopped",
                    config->metadata_directory);
    return error_hint(err, "if it is not mounted, mount it; if no job of this host is running, "
                           "create it with mode 0700 and run 'gc --stop' again");
}

/* As the job's own cleanup would do it. */
static int clean_up(const struct config *config, const char *job, struct error *err)
{
    struct task task = {.backend_task = {.config = config}};
    int found = task_find(&task, job, err);
    int result = found == 1 ? task_stop(&task, err) : found;
    task_done(&task);
    return result;
}

/* What happened to the task, or would. */
static void print_orphan(const struct orphans *orphans, const struct backend_listed *listed,
                         bool stopped)
{
    char age[24];
    if (orphans->json) {
        bool ok = true;
        cJSON *root = cJSON_CreateObject();
        json_text(root, "job", listed->job, &ok);
        json_text(root, "backend", orphans->backend->name, &ok);
        json_text(root, "task", listed->id, &ok);
        json_text(root, "state", listed->state, &ok);
        json_number(root, "started_at", listed->started_at_s, &ok);
        json_bool(root, "stopped", stopped, &ok);
        (void)json_print_object(stdout, root, ok);
    } else if (stopped) {
        escape_print(stdout, "stopped %s of %s\n", listed->id, listed->job);
    } else {
        task_summary_age(listed, clock_unix_s(), age, sizeof(age));
        escape_print(stdout, "would stop %s of %s, %s, age %s\n", listed->id, listed->job,
                     listed->state, age);
    }
}

static int stop_one(const struct orphans *orphans, const struct orphan *orphan, struct error *err)
{
    const struct backend_listed *listed = &orphan->listed;
    const struct config *config = orphans->config;
    int64_t deadline_ms = clock_deadline_ms(config->cleanup_timeout_ms);
    char reason[REASON_BYTES];
    (void)snprintf(reason, sizeof(reason), "%s gc: no job of this runner knows this task",
                   program_name());
    if (orphan->has_task && orphans->backend->stop_listed != NULL &&
        orphans->backend->stop_listed(config, listed->id, reason, deadline_ms, err) < 0) {
        return -1;
    }
    return clean_up(config, listed->job, err);
}

/* Continues after a task that cannot be stopped. */
static int stop_each(const struct orphans *orphans, struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < orphans->count; i++) {
        const struct backend_listed *listed = &orphans->entries[i].listed;
        if (stop_one(orphans, &orphans->entries[i], err) < 0) {
            char text[ERROR_TEXT_BYTES];
            log_error("%s", error_text(err, text));
            result = -1;
            continue;
        }
        job_history_lost(orphans->config, listed->job,
                         "no cleanup ended this job: its runner or its host died; 'gc' stopped its "
                         "task");
        print_orphan(orphans, listed, true);
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, 0, "not every task could be stopped") : 0;
}

static void print_orphans(const struct orphans *orphans)
{
    for (size_t i = 0; i < orphans->count; i++) {
        print_orphan(orphans, &orphans->entries[i].listed, false);
    }
    if (orphans->count > 0) {
        (void)fprintf(stderr, "nothing was stopped; run 'gc --stop' to stop them\n");
    }
}

static void print_removed(const char *arn)
{
    escape_print(stdout, "removed %s\n", arn);
    (void)fflush(stdout);
}

static void print_removed_json(const char *arn)
{
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    json_text(root, "backend", backend_ecs.name, &ok);
    json_text(root, "task_definition", arn, &ok);
    json_bool(root, "removed", true, &ok);
    (void)json_print_object(stdout, root, ok);
    (void)fflush(stdout);
}

/* Those of this region and cluster, whichever host made them. */
static int remove_task_definitions(const struct command_context *context,
                                   const struct backend *backend, struct error *err)
{
    if (!backend->has_task_definitions) {
        return error_set(err, ERROR_OPTION, 0,
                         "--task-definitions: the backend '%s' has no task definitions",
                         backend->name);
    }
    int count = ecs_definitions_remove_old(
        context->config, context->signals,
        context->options->json ? print_removed_json : print_removed, err);
    if (count == 0) {
        (void)fprintf(stderr, "no old task definitions\n");
    }
    return count < 0 ? -1 : 0;
}

int command_gc(struct command_context *context, struct result *out_result, struct error *err)
{
    struct orphans orphans = {.config = context->config, .json = context->options->json};
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || backend->check(context->config, err) < 0) {
        return -1;
    }
    orphans.backend = backend;
    if (context->options->task_definitions) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
        return remove_task_definitions(context, backend, err);
    }
    int result = collect_all(&orphans, err);
    if (result < 0) {
        (void)error_wrap(err, "cannot list the tasks");
    }
    if (result == 0 && context->options->stop) {
        job_history_sweep(context->config);
    }
    if (result == 0 && orphans.count == 0) {
        (void)fprintf(stderr, "no orphaned tasks on the backend '%s'\n", backend->name);
    } else if (result == 0 && context->options->stop) {
        result = check_directory(context->config, err);
        result = result < 0 ? -1 : stop_each(&orphans, err);
    } else if (result == 0) {
        print_orphans(&orphans);
    }
    free(orphans.entries);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
