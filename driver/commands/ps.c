/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/base/json.h"
#include "driver/commands/command.h"
#include "driver/commands/table.h"
#include "driver/history/store.h"
#include "driver/record/pool.h"
#include "driver/record/pool_failure.h"
#include "driver/task/task_summary.h"
#include "driver/warm/warm.h"

#define LIST_MS      60000
#define CLEAR_SCREEN "\033[H\033[2J"
#define NUMBER_BYTES 32

static const struct table_column columns[] = {
    {"JOB", 0, 0},  {"AGE", 0, 0},      {"STATE", 0, 0},  {"CPU", 0, 4},   {"MEMORY", 0, 3},
    {"COST", 0, 2}, {"PROJECT", 10, 6}, {"IMAGE", 10, 5}, {"TASK", 16, 0}, {"URL", 12, 7},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

struct listing {
    const struct command_context *context;
    const struct backend *backend;
    struct history_store notes;          /* fd -1: there are none */
    char (*wishes)[METADATA_WISH_BYTES]; /* of each [[Warm]]; NULL: not known */
    struct table table;
    size_t count;
};

/* What 'prepare' noted of the job; NULL: nothing. */
static cJSON *noted(const struct listing *listing, const char *job)
{
    struct buffer text;
    const char *line = NULL;
    size_t length = 0;
    size_t at = 0;
    cJSON *note = NULL;
    buffer_init(&text, HISTORY_NOTE_BYTES);
    if (listing->notes.fd >= 0 && history_noted(&listing->notes, job, &text, NULL) == 1 &&
        history_next_line(text.bytes, text.length, &at, &line, &length)) {
        note = cJSON_ParseWithLength(line, length);
    }
    buffer_done(&text);
    return note;
}

/* For which jobs a warm task is kept ready; empty: no [[Warm]] asks for it any more. */
static const char *warm_for(const struct listing *listing, const char *key)
{
    const struct config *config = listing->context->config;
    struct pool_record record;
    struct error ignored;
    if (listing->wishes == NULL || !pool_has_key(key) ||
        pool_read_one(config->metadata_directory, key, &record, &ignored) != 1) {
        return "";
    }
    for (size_t i = 0; i < config->warm_count; i++) {
        if (strcmp(listing->wishes[i], record.warm.wish) == 0) {
            return warm_name(&config->warm[i]);
        }
    }
    return "";
}

/* The image as the pipeline or [[Warm]] names it. */
static const char *image_of(const struct listing *listing, const struct backend_listed *listed,
                            const cJSON *note)
{
    const char *noted_image = json_text_or_empty(note, "image");
    return noted_image[0] != '\0' ? noted_image : warm_for(listing, listed->job);
}

/* A warm task has no job yet, or will never have one. */
static const char *pool_word(const char *job)
{
    return !pool_has_key(job) ? "" : pool_is_spent(job) ? ", stopping" : ", warm";
}

static int add_row(struct listing *listing, const struct backend_listed *listed, const cJSON *note)
{
    char age[24];
    char cost[NUMBER_BYTES];
    char cpu[NUMBER_BYTES] = "";
    char memory[NUMBER_BYTES] = "";
    int64_t now_s = clock_unix_s();
    task_summary_age(listed, now_s, age, sizeof(age));
    task_summary_cost(listed, &listing->context->config->price, now_s, cost, sizeof(cost));
    if (listed->vcpus > 0) {
        (void)snprintf(cpu, sizeof(cpu), "%g", listed->vcpus);
    }
    if (listed->memory_gib > 0) {
        (void)snprintf(memory, sizeof(memory), "%g GiB", listed->memory_gib);
    }
    const char *const row[COLUMN_COUNT] = {listed->job,
                                           age,
                                           listed->state,
                                           cpu,
                                           memory,
                                           cost,
                                           json_text_or_empty(note, "project"),
                                           image_of(listing, listed, note),
                                           listed->id,
                                           listed->url};
    return table_add(&listing->table, row);
}

static void add_text(cJSON *to, const char *name, const char *value, bool *ok)
{
    if (value[0] != '\0') {
        json_text(to, name, value, ok);
    }
}

static void add_number(cJSON *to, const char *name, double value, bool *ok)
{
    if (value > 0) {
        *ok = cJSON_AddNumberToObject(to, name, value) != NULL && *ok;
    }
}

static int print_json(const struct listing *listing, const struct backend_listed *listed,
                      const cJSON *note)
{
    static const char *const from_note[] = {"name", "project", "ref"};
    char cost[NUMBER_BYTES];
    const struct config_price *price = &listing->context->config->price;
    int64_t now_s = clock_unix_s();
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    add_text(root, "job", listed->job, &ok);
    json_text(root, "backend", listing->backend->name, &ok);
    json_text(root, "task", listed->id, &ok);
    json_text(root, "state", listed->state, &ok);
    add_number(root, "started_at", (double)listed->started_at_s, &ok);
    add_number(root, "vcpus", listed->vcpus, &ok);
    add_number(root, "memory_gib", listed->memory_gib, &ok);
    json_bool(root, "spot", listed->spot, &ok);
    task_summary_cost(listed, price, now_s, cost, sizeof(cost));
    if (strcmp(cost, "-") != 0) {
        ok = cJSON_AddRawToObject(root, "cost", cost) != NULL && ok;
        json_text(root, "currency", price->currency, &ok);
    }
    for (size_t i = 0; i < sizeof(from_note) / sizeof(from_note[0]); i++) {
        add_text(root, from_note[i], json_text_or_empty(note, from_note[i]), &ok);
    }
    add_text(root, "image", image_of(listing, listed, note), &ok);
    add_text(root, "url", listed->url, &ok);
    return json_print_object(stdout, root, ok);
}

static int take(void *context, const struct backend_listed *entry, struct error *err)
{
    struct listing *listing = context;
    struct backend_listed found = *entry;
    const struct backend_listed *listed = &found;
    int result = 0;
    listing->count++;
    task_summary_find_record(&found, listing->context->config);
    (void)snprintf(found.state, sizeof(found.state), "%.20s%s", entry->state, pool_word(found.job));
    if (listing->context->options->quiet) {
        escape_print(stdout, "%s\n", listed->job[0] != '\0' ? listed->job : listed->id);
        return 0;
    }
    cJSON *note = listed->job[0] != '\0' ? noted(listing, listed->job) : NULL;
    result = listing->context->options->json ? print_json(listing, listed, note)
                                             : add_row(listing, listed, note);
    cJSON_Delete(note);
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the tasks") : 0;
}

/* Why the pool has fewer tasks than it should have. */
static void print_failures(const char *directory)
{
    struct pool_failures failures;
    struct error err = {0};
    char text[POOL_FAILURE_TEXT_BYTES];
    int64_t now_s = clock_unix_s();
    if (pool_failures_read(directory, &failures, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    for (size_t i = 0; i < failures.count; i++) {
        const struct pool_failure *failure = &failures.entries[i];
        if (!pool_failure_is_old(failure, now_s)) {
            pool_failure_text(failure, now_s, text);
            escape_print(stderr, "warm tasks of '%s': %s\n", failure->name, text);
        }
    }
    pool_failures_done(&failures);
}

static int list(const struct command_context *context, const struct backend *backend,
                char (*wishes)[METADATA_WISH_BYTES], bool clear, struct error *err)
{
    char path[PATH_MAX];
    struct error ignored;
    struct listing listing = {.context = context,
                              .backend = backend,
                              .wishes = wishes,
                              .table = {.columns = columns, .column_count = COLUMN_COUNT}};
    if (history_open(&listing.notes, context->config, false, path, sizeof(path), &ignored) != 1) {
        listing.notes.fd = -1; /* no projects and images */
    }
    int result = backend->list(context->config, take, &listing, clock_deadline_ms(LIST_MS), err);
    if (result == 0) {
        (void)fputs(clear ? CLEAR_SCREEN : "", stdout);
        table_print(&listing.table, stdout, 0);
        (void)fflush(stdout);
    }
    table_done(&listing.table);
    history_close(&listing.notes);
    if (result == 0 && listing.count == 0 && !context->options->json && !context->options->quiet) {
        (void)fprintf(stderr, "no task of this runner on the backend '%s'\n", backend->name);
    }
    if (result == 0 && !context->options->json && !context->options->quiet) {
        print_failures(context->config->metadata_directory);
    }
    return result < 0 ? error_wrap(err, "cannot list the tasks") : 0;
}

int command_ps(struct command_context *context, struct result *out_result, struct error *err)
{
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || backend->check(context->config, err) < 0) {
        return -1;
    }
    bool clear = context->options->watch && !context->options->json && isatty(STDOUT_FILENO) == 1;
    char(*wishes)[METADATA_WISH_BYTES] = NULL;
    struct error unusable = {0};
    if (context->config->warm_count > 0 &&
        warm_wishes(context->config, backend, &wishes, &unusable) < 0) {
        log_debug("%s", unusable.message); /* 'warm' and 'doctor' report it */
    }
    int result = list(context, backend, wishes, clear, err);
    while (result == 0 && context->options->watch &&
           signals_wait(context->signals, -1, clock_deadline_ms(backend->list_pause_ms)) == 0 &&
           !signals_pending(context->signals) && ferror(stdout) == 0) {
        result = list(context, backend, wishes, clear, err);
    }
    free(wishes);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
