/* SPDX-License-Identifier: MIT */
#include "driver/history/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/memory_text.h"
#include "driver/base/json.h"
#include "driver/base/pattern.h"
#include "driver/base/program.h"
#include "driver/commands/command.h"
#include "driver/commands/job_log.h"
#include "driver/commands/table.h"

#define CELL_BYTES 96
#define MIB        (1024.0 * 1024)

static const struct table_column columns[] = {
    {"JOB", 0, 0},   {"ENDED", 0, 0},    {"RESULT", 0, 0}, {"START", 0, 4},
    {"RUN", 0, 1},   {"CPU", 0, 7},      {"MEMORY", 0, 6}, {"COST", 0, 5},
    {"IMAGE", 8, 3}, {"PROJECT", 12, 0}, {"REF", 6, 8},    {"REASON", 12, 2},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void print_seconds(double seconds, char out[CELL_BYTES])
{
    int64_t whole = seconds < 9e15 ? (int64_t)(seconds + 0.5) : 0;
    if (!(seconds > 0)) {
        out[0] = '\0';
    } else if (seconds < 59.95) { /* what %.1f does not round up to 60.0 */
        (void)snprintf(out, CELL_BYTES, "%.1fs", seconds);
    } else if (whole < 3600) {
        (void)snprintf(out, CELL_BYTES, "%dm%02ds", (int)whole / 60, (int)whole % 60);
    } else {
        (void)snprintf(out, CELL_BYTES, "%lldh%02dm", (long long)whole / 3600,
                       (int)(whole / 60 % 60));
    }
}

static void print_time(int64_t unix_s, char out[CELL_BYTES])
{
    struct tm date;
    time_t moment = (time_t)unix_s;
    if (localtime_r(&moment, &date) == NULL ||
        strftime(out, CELL_BYTES, "%Y-%m-%d %H:%M", &date) == 0) {
        out[0] = '\0';
    }
}

/* The number in the key: what GitLab shows. */
static void print_job(const struct history_job *job, char out[CELL_BYTES])
{
    (void)snprintf(out, CELL_BYTES, "%lld", (long long)job->job);
}

static void print_result(const struct history_job *job, char out[CELL_BYTES])
{
    if (job->exit_code != 0) {
        (void)snprintf(out, CELL_BYTES, "%.32s (%d)", job->result, job->exit_code);
    } else {
        (void)snprintf(out, CELL_BYTES, "%.40s", job->result);
    }
}

static void print_memory(const struct history_job *job, char out[CELL_BYTES])
{
    char text[MEMORY_TEXT_BYTES] = "";
    if (job->peak_bytes > 0 && job->limit_bytes > 0) {
        (void)snprintf(text, sizeof(text), "%.0f/%.0f MiB", job->peak_bytes / MIB,
                       job->limit_bytes / MIB);
    }
    (void)snprintf(out, CELL_BYTES, "%s", text);
}

static int add_row(struct table *table, const struct history_job *short_job)
{
    char cells[8][CELL_BYTES] = {{0}};
    struct history_job whole;
    const struct history_job *job = &whole;
    cJSON *root = history_job_parse(short_job->line, short_job->line_length, &whole);
    print_job(job, cells[0]);
    print_time(job->ended_at_s, cells[1]);
    print_result(job, cells[2]);
    print_seconds(job->start_s, cells[3]);
    print_seconds(job->run_s, cells[4]);
    print_seconds(job->cpu_s, cells[5]);
    print_memory(job, cells[6]);
    if (job->cost > 0) {
        history_cost_text(job->cost, job->currency, cells[7], CELL_BYTES);
    }
    const char *const row[COLUMN_COUNT] = {cells[0],   cells[1],     cells[2], cells[3],
                                           cells[4],   cells[5],     cells[6], cells[7],
                                           job->image, job->project, job->ref, job->reason};
    int result = table_add(table, row);
    cJSON_Delete(root);
    return result;
}

static bool is_wanted(const struct command_context *context, const struct history_job *job)
{
    return (!context->options->failed || history_job_failed(job)) &&
           (context->options->project == NULL ||
            pattern_matches(context->options->project, job->project));
}

static int list(const struct command_context *context, const struct history *history,
                struct error *err)
{
    struct table table = {.columns = columns, .column_count = COLUMN_COUNT};
    size_t count = 0;
    int result = 0;
    for (size_t i = 0; i < history->count && result == 0; i++) {
        const struct history_job *job = &history->jobs[i];
        if (!is_wanted(context, job)) {
            continue;
        }
        count++;
        if (context->options->json) {
            json_print(stdout, job->line, job->line_length);
        } else {
            result = add_row(&table, job);
        }
    }
    table_print(&table, stdout, 0);
    table_done(&table);
    if (result == 0 && count == 0 && !context->options->json) {
        bool all = context->options->since_ms == 0 && history->count + history->skipped == 0;
        escape_print(stderr, all ? "no job has ended yet\n" : "no such job in '%s'\n",
                     history->path);
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the history") : 0;
}

/* "key: value" if there is one. */
static void print_text(const char *name, const char *value)
{
    if (value[0] != '\0') {
        escape_print(stdout, "%-10s%s\n", name, value);
    }
}

static void print_number(const char *name, double seconds)
{
    char text[CELL_BYTES];
    print_seconds(seconds, text);
    print_text(name, text);
}

static void print_start(const struct history_job *job)
{
    const struct {
        const char *name;
        double seconds;
    } parts[] = {{"queued", job->queued_s},    {"placed", job->placed_s},
                 {"pulled", job->pulled_s},    {"created", job->created_s},
                 {"started", job->started_s},  {"login", job->login_s},
                 {"services", job->services_s}};
    char text[CELL_BYTES];
    print_seconds(job->start_s, text);
    if (text[0] == '\0') {
        return;
    }
    (void)printf("%-10s%s", "start", text);
    const char *between = " (";
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        print_seconds(parts[i].seconds, text);
        if (text[0] != '\0') {
            (void)printf("%s%s %s", between, parts[i].name, text);
            between = ", ";
        }
    }
    (void)printf("%s\n", between[0] == ',' ? ")" : "");
}

static void print_facts(const struct history_job *job)
{
    char text[CELL_BYTES];
    print_text("job", job->key);
    print_text("name", job->name);
    print_text("project", job->project);
    print_text("ref", job->ref);
    print_text("URL", job->url);
    print_text("backend", job->backend);
    print_text("image", job->image);
    print_text("task", job->task);
    if (job->started_at_s > 0) {
        print_time(job->started_at_s, text);
        print_text("began", text);
    }
    print_time(job->ended_at_s, text);
    print_text("ended", text);
    print_result(job, text);
    print_text("result", text);
    print_text("reason", job->reason);
    print_start(job);
    print_number("run", job->run_s);
    print_number("CPU", job->cpu_s);
    print_memory(job, text);
    print_text("memory", text);
    if (job->cost > 0) {
        history_cost_text(job->cost, job->currency, text, sizeof(text));
        print_text("cost", text);
    }
}

static int print_stages(const struct history_job *job, struct error *err)
{
    static const struct table_column heads[] = {{"STAGE", 0, 0},  {"RESULT", 0, 0},
                                                {"TIME", 0, 0},   {"CPU", 0, 0},
                                                {"OUTPUT", 0, 0}, {"REASON", 12, 0}};
    struct table table = {.columns = heads, .column_count = sizeof(heads) / sizeof(heads[0])};
    cJSON *root = cJSON_ParseWithLength(job->line, job->line_length);
    const cJSON *stage;
    int result = 0;
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(root, "stages"))
    {
        char cells[4][CELL_BYTES];
        const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(stage, "seconds");
        const cJSON *cpu = cJSON_GetObjectItemCaseSensitive(stage, "cpu_seconds");
        long long code = (long long)json_number_at(stage, "exit_code");
        (void)snprintf(cells[0], CELL_BYTES, code != 0 ? "%.40s (%lld)" : "%.40s",
                       json_text_or_empty(stage, "result"), code);
        print_seconds(cJSON_IsNumber(seconds) ? seconds->valuedouble : 0, cells[1]);
        print_seconds(cJSON_IsNumber(cpu) ? cpu->valuedouble : 0, cells[2]);
        (void)snprintf(cells[3], CELL_BYTES, "%lld",
                       (long long)json_number_at(stage, "output_bytes"));
        const char *const row[] = {
            json_text_or_empty(stage, "stage"), cells[0], cells[1], cells[2], cells[3],
            json_text_or_empty(stage, "reason")};
        result = result == 0 ? table_add(&table, row) : result;
    }
    (void)printf("\n");
    table_print(&table, stdout, 0);
    table_done(&table);
    cJSON_Delete(root);
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the stages") : 0;
}

static bool is_named(const struct history_job *job, const char *name)
{
    char number[CELL_BYTES];
    print_job(job, number);
    return strcmp(job->key, name) == 0 || strcmp(number, name) == 0 ||
           (job->task[0] != '\0' && strcmp(job->task, name) == 0);
}

static int show_one(const struct command_context *context, const struct history_job *job,
                    struct error *err)
{
    if (context->options->json) {
        json_print(stdout, job->line, job->line_length);
        return 0;
    }
    print_facts(job);
    return print_stages(job, err) < 0 ? -1 : job_log_print(context->config, job, err);
}

static int show(const struct command_context *context, const struct history *history,
                const char *name, struct error *err)
{
    for (size_t i = 0; i < history->count; i++) {
        struct history_job job;
        const struct history_job *found = &history->jobs[i];
        cJSON *root = history_job_parse(found->line, found->line_length, &job);
        bool named = root != NULL && is_named(&job, name);
        int result = named ? show_one(context, &job, err) : 0;
        cJSON_Delete(root);
        if (named) {
            return result;
        }
    }
    (void)error_set(err, ERROR_USAGE, 0, "no job '%s' in '%s'", name, history->path);
    return error_hint(err,
                      "'%s history' lists the jobs that have ended, and '%s ps' those that run",
                      program_name(), program_name());
}

static int check_pattern(const char *pattern, struct error *err)
{
    char bad = pattern == NULL ? '\0' : pattern_bad_character(pattern);
    if (bad == '\0') {
        return 0;
    }
    (void)error_set(err, ERROR_OPTION, 0, "--project: '%c' in the pattern \"%.80s\" is not allowed",
                    bad, pattern);
    return error_hint(err, "%s", PATTERN_HINT);
}

int command_history(struct command_context *context, struct result *out_result, struct error *err)
{
    struct history history;
    if (check_pattern(context->options->project, err) < 0) {
        return -1;
    }
    int64_t since_s =
        context->options->since_ms > 0 ? clock_unix_s() - context->options->since_ms / 1000 : 0;
    int result = history_load(&history, context->config, since_s, err);
    if (result == 0 && !context->config->history.enabled) {
        (void)fprintf(stderr, "[History] Enabled is false: no job is added\n");
    }
    if (result == 0) {
        result = context->argc > 0 ? show(context, &history, context->argv[0], err)
                                   : list(context, &history, err);
    }
    if (result == 0 && history.skipped > 0) {
        escape_print(stderr, "skipped %zu damaged line%s of '%s'\n", history.skipped,
                     history.skipped == 1 ? "" : "s", history.path);
    }
    history_done(&history);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
