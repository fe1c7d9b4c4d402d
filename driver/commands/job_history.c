/* SPDX-License-Identifier: MIT */
#include "driver/commands/job_history.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/history/store.h"
#include "driver/history/totals.h"
#include "driver/runner/notice.h"

/* A note without metadata is of a job that never got a task, or of one whose host died: no job
 * without metadata runs for so long. */
#define SWEEP_AGE_S (24 * 3600)

static void complain(const struct error *err, enum log_level level)
{
    char text[ERROR_TEXT_BYTES];
    log_line(level, "the history of jobs is not complete: %s", error_text(err, text));
}

/* Opens the store, if there is to be a history. */
static bool open_store(const struct config *config, bool make, struct history_store *store,
                       char path[PATH_MAX], struct error *err)
{
    return config->history.enabled && config->metadata_directory != NULL &&
           history_open(store, config, make, path, PATH_MAX, err) == 1;
}

static void append_note(const struct config *config, const char *job, const struct buffer *line,
                        bool make)
{
    char path[PATH_MAX];
    struct history_store store;
    struct error err = {0};
    if (open_store(config, make, &store, path, &err)) {
        if (history_note(&store, job, line->bytes, line->length, &err) < 0) {
            complain(&err, LOG_DEBUG);
        }
        history_close(&store);
    } else if (err.kind != ERROR_NONE) {
        complain(&err, LOG_DEBUG);
    }
}

static void begin_job(const struct command_context *context, const char *job)
{
    struct buffer line;
    struct error ignored;
    cJSON *response = NULL;
    const struct backend *backend = backend_choose(context->config, NULL);
    buffer_init(&line, HISTORY_LINE_BYTES);
    if (runner_read_response(context->runner, &response, &ignored) < 0) {
        response = NULL; /* the stage reports it */
    }
    if (history_note_job(job, response, backend == NULL ? "none" : backend->name, clock_unix_s(),
                         &line) == 0) {
        append_note(context->config, job, &line, true);
    }
    json_delete_wiped(response);
    buffer_done(&line);
}

void job_history_begin(const struct command_context *context, const char *stage)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct buffer line;
    struct error ignored;
    bool prepares = strcmp(stage, "prepare") == 0;
    if (!context->config->history.enabled || strcmp(stage, "cleanup") == 0 ||
        strcmp(stage, "config") == 0 || runner_job_key(context->runner, job, &ignored) < 0) {
        return;
    }
    if (prepares) {
        begin_job(context, job);
    }
    buffer_init(&line, HISTORY_LINE_BYTES);
    if (history_note_begin(stage, &line) == 0) {
        append_note(context->config, job, &line, false);
    }
    buffer_done(&line);
}

/* Makes the job's line of its notes. '*out_kept': it was written, also if something else failed. */
static int record(const struct history_store *store, const char *job, const struct history_end *end,
                  bool *out_kept, struct error *err)
{
    struct buffer notes;
    struct buffer line;
    buffer_init(&notes, HISTORY_NOTE_BYTES);
    buffer_init(&line, HISTORY_LINE_BYTES);
    int result = history_noted(store, job, &notes, err);
    if (result == 1) {
        result = history_entry(job, notes.bytes, notes.length, end, &line);
        if (result < 0) {
            (void)error_set(err, ERROR_LIMIT, 0, "the line of '%s' has no room", job);
        }
    }
    if (result == 1) {
        result = history_lock(store, err);
        if (result == 0) {
            result = history_record(store, line.bytes, line.length, end->at_s, out_kept, err);
        }
    }
    if (result == 0 || *out_kept) {
        history_forget(store, job);
    }
    buffer_done(&notes);
    buffer_done(&line);
    return result;
}

/* Without it, gc would take the job for one whose host died. */
static void note_cleanup(const struct config *config, const char *job, int64_t at_s)
{
    struct buffer line;
    buffer_init(&line, HISTORY_LINE_BYTES);
    if (history_note_cleanup(at_s, &line) == 0) {
        append_note(config, job, &line, false);
    }
    buffer_done(&line);
}

static void end_job(const struct config *config, const char *job, const struct history_end *end)
{
    char path[PATH_MAX];
    struct history_store store;
    struct error err = {0};
    if (open_store(config, false, &store, path, &err)) {
        bool kept = false;
        bool failed = record(&store, job, end, &kept, &err) < 0;
        history_close(&store);
        if (failed) {
            complain(&err, LOG_WARN);
        }
        if (failed && !kept && !end->lost) {
            note_cleanup(config, job, end->at_s);
        }
    } else if (err.kind != ERROR_NONE) {
        complain(&err, LOG_WARN);
    } else if (config->history.enabled && end->figures != NULL && end->figures->task[0] != '\0') {
        (void)error_set(&err, ERROR_SYSTEM, 0, "'%s' does not exist and could not be created",
                        path);
        complain(&err, LOG_WARN);
    }
}

void job_history_end(const struct command_context *context, const struct history_stage *stage)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct buffer line;
    struct error ignored;
    cJSON *response = NULL;
    const struct config *config = context->config;
    if (!config->history.enabled || strcmp(stage->name, "config") == 0 ||
        runner_job_key(context->runner, job, &ignored) < 0) {
        return;
    }
    if (strcmp(stage->name, "cleanup") == 0) {
        struct history_end end = {
            .at_s = clock_unix_s(), .figures = &context->figures, .price = &config->price};
        end_job(config, job, &end);
        return;
    }
    /* Only a reason may have the value of a variable. */
    if (stage->reason != NULL && stage->reason[0] != '\0' &&
        runner_read_response(context->runner, &response, &ignored) < 0) {
        response = NULL;
    }
    buffer_init(&line, HISTORY_LINE_BYTES);
    if (history_note_stage(stage, &context->figures, response, &line) == 0) {
        append_note(config, job, &line, false);
    }
    json_delete_wiped(response);
    buffer_done(&line);
}

/* Containers have the limits of the file. */
static void docker_figures(const struct config *config, struct history_figures *figures)
{
    figures->vcpus = (double)config->docker.nano_cpus / 1e9;
    figures->memory_gib = (double)config->docker.memory_bytes / (double)(1UL << 30);
    if (config->docker.image != NULL) {
        (void)snprintf(figures->image, sizeof(figures->image), "%s", config->docker.image);
    }
}

static double in_seconds(int64_t ms)
{
    return ms > 0 ? (double)ms / 1000 : 0;
}

static void start_figures(const struct task *task, struct history_figures *figures)
{
    const struct backend_start *start = &task->backend_task.start;
    figures->queued_s = in_seconds(start->queued_ms);
    figures->placed_s = in_seconds(start->placed_ms);
    figures->pulled_s = in_seconds(start->pulled_ms);
    figures->created_s = in_seconds(start->created_ms);
    figures->started_s = in_seconds(start->started_ms);
    figures->login_s = in_seconds(start->login_ms);
    figures->services_s = in_seconds(start->services_ms);
    figures->start_s = in_seconds(task->fetched_after_ms + task->ready_after_ms);
}

void job_history_task(struct command_context *context, const struct task *task)
{
    struct history_figures *figures = &context->figures;
    const struct metadata *metadata = task->backend_task.metadata;
    task_identity(task, figures->task, sizeof(figures->task));
    if (task->ready_after_ms > 0) {
        start_figures(task, figures);
    }
    if (task->backend != NULL && strcmp(task->backend->name, "docker") == 0) {
        docker_figures(context->config, figures);
    }
    if (metadata != NULL) {
        history_read_facts(metadata->state, figures);
    }
}

void job_history_outcome(struct command_context *context, const struct job_outcome *outcome)
{
    context->figures.usage_known = outcome->usage_known;
    context->figures.usage = outcome->usage;
    context->figures.output_bytes = outcome->output_bytes;
}

void job_history_lost(const struct config *config, const char *job, const char *reason)
{
    struct history_end end = {
        .at_s = clock_unix_s(), .lost = true, .reason = reason, .price = &config->price};
    end_job(config, job, &end);
}

struct sweep {
    const struct config *config;
};

static void sweep_one(void *context, const char *job)
{
    const struct config *config = ((const struct sweep *)context)->config;
    struct metadata *metadata = NULL;
    struct error ignored;
    if (metadata_load(config->metadata_directory, job, &metadata, &ignored) == 0) {
        job_history_lost(config, job, "no cleanup ended this job, and it has no task");
    }
    metadata_free(metadata);
}

void job_history_sweep(const struct config *config)
{
    char path[PATH_MAX];
    struct history_store store;
    struct error err = {0};
    struct sweep sweep = {.config = config};
    if (open_store(config, false, &store, path, &err)) {
        if (history_each_note(&store, SWEEP_AGE_S, clock_unix_s(), sweep_one, &sweep, &err) < 0) {
            complain(&err, LOG_WARN);
        }
        history_close(&store);
    }
}

void job_history_print_cost(const struct command_context *context, const struct task *task)
{
    char text[64];
    struct command_context own = *context;
    const struct config_price *price = &context->config->price;
    const struct metadata *metadata = task->backend_task.metadata;
    if (metadata == NULL || metadata->origin.started_at_s == 0) {
        return;
    }
    own.figures = (struct history_figures){0};
    job_history_task(&own, task);
    double seconds = (double)(clock_unix_s() - metadata->origin.started_at_s);
    double cost = history_cost(price, &own.figures, seconds < 1 ? 1 : seconds);
    if (cost > 0) {
        history_cost_text(cost, price->currency, text, sizeof(text));
        notice_print("%s%s (%g vCPU, %g GB, %.1f min%s)", cost < HISTORY_COST_LEAST ? "" : "about ",
                     text, own.figures.vcpus, own.figures.memory_gib, seconds / 60,
                     own.figures.spot ? ", Spot" : "");
    }
}
