/* SPDX-License-Identifier: MIT */
#include "driver/history/totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/escape.h"
#include "common/fd.h"
#include "driver/base/json.h"
#include "driver/history/history.h"
#include "driver/history/text.h"

#define OTHER_PROJECTS "(other)"
#define BUCKET_COUNT   (sizeof(bounds) / sizeof(bounds[0]))
#define BROKEN_BYTES   64 /* of the name of a damaged file */

/* The upper bounds of the histogram of a start's phases, in seconds. */
static const double bounds[] = {0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600};

/* Sums of each backend: a member of the history's line, and the counter made of it. */
static const struct {
    const char *member, *metric, *help;
} sums[] = {
    {"run_seconds", "berth_job_run_seconds_total", "Time in which stages of jobs ran."},
    {"cpu_seconds", "berth_job_cpu_seconds_total", "CPU time of jobs."},
    {"output_bytes", "berth_job_output_bytes_total", "Output of jobs."},
    {"oom_kills", "berth_job_oom_kills_total", "Processes of jobs killed for lack of memory."},
};

static const char *const project_sums[] = {"jobs", "run_seconds"};

static cJSON *child(cJSON *object, const char *name)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsObject(found) ? found : cJSON_AddObjectToObject(object, name);
}

static int add(cJSON *object, const char *name, double value)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (cJSON_IsNumber(item)) {
        (void)cJSON_SetNumberHelper(item, item->valuedouble + value);
        return 0;
    }
    return cJSON_AddNumberToObject(object, name, value) == NULL ? -1 : 0;
}

static double number_at(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < 9e15
               ? item->valuedouble
               : 0;
}

cJSON *history_totals_parse(const char *text, size_t length)
{
    cJSON *root = text == NULL ? cJSON_CreateObject() : cJSON_ParseWithLength(text, length);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

/* A histogram: sum, count and the number of values up to each bound. */
static int observe(cJSON *phases, const char *name, double seconds)
{
    char bound[32];
    cJSON *phase = child(phases, name);
    if (phase == NULL || add(phase, "sum", seconds) < 0 || add(phase, "count", 1) < 0) {
        return -1;
    }
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        (void)snprintf(bound, sizeof(bound), "%g", bounds[i]);
        if (add(phase, bound, seconds <= bounds[i] ? 1 : 0) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A sum for each currency. Before, "cost" was one for all, and is kept. */
static int add_cost(cJSON *object, const struct history_job *job)
{
    return job->cost > 0 ? add(child(object, "costs"), job->currency, job->cost) : 0;
}

static int add_backend(cJSON *totals, const struct history_job *job)
{
    const double values[] = {job->run_s, job->cpu_s, job->output_bytes, job->oom_kills};
    const double parts[] = {job->queued_s,  job->placed_s, job->pulled_s,   job->created_s,
                            job->started_s, job->login_s,  job->services_s, job->start_s};
    static const char *const names[] = {"queued",  "placed", "pulled",   "created",
                                        "started", "login",  "services", "all"};
    cJSON *backend = child(child(totals, "backends"), job->backend);
    cJSON *phases = child(backend, "start");
    if (phases == NULL || add(child(backend, "results"), job->result, 1) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        if (add(backend, sums[i].member, values[i]) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i] > 0 && observe(phases, names[i], parts[i]) < 0) {
            return -1;
        }
    }
    return add_cost(backend, job);
}

static int add_project(cJSON *totals, const struct history_job *job)
{
    const double values[] = {1, job->run_s};
    cJSON *projects = child(totals, "projects");
    const char *name = job->project;
    if (name[0] == '\0') {
        return 0;
    }
    if (cJSON_GetObjectItemCaseSensitive(projects, name) == NULL &&
        cJSON_GetArraySize(projects) >= HISTORY_PROJECTS) {
        name = OTHER_PROJECTS;
    }
    cJSON *project = child(projects, name);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (add(project, project_sums[i], values[i]) < 0) {
            return -1;
        }
    }
    return add_cost(project, job);
}

int history_totals_add(cJSON *totals, const char *line, size_t length)
{
    struct history_job job;
    cJSON *root = history_job_parse(line, length, &job);
    int result = root == NULL
                     ? 0
                     : (add_backend(totals, &job) < 0 || add_project(totals, &job) < 0 ? -1 : 0);
    cJSON_Delete(root);
    return result;
}

static cJSON *from_history(const struct history_store *store)
{
    char *text = NULL;
    size_t text_length = 0;
    const char *line = NULL;
    size_t length = 0;
    size_t at = 0;
    cJSON *totals = cJSON_CreateObject();
    if (history_read_jobs(store, &text, &text_length, NULL) == 1) {
        while (totals != NULL && history_next_line(text, text_length, &at, &line, &length)) {
            if (history_totals_add(totals, line, length) < 0) {
                cJSON_Delete(totals);
                totals = NULL;
            }
        }
    }
    free(text);
    return totals;
}

enum source {
    SOURCE_FILE,
    SOURCE_NO_FILE, /* made of the history, so that they have its last line already */
    SOURCE_DAMAGED, /* so, too, since the file cannot be parsed */
};

/* NULL: no memory, or a file that cannot be read now. */
static cJSON *load(const struct history_store *store, enum source *out_source, struct error *err)
{
    struct buffer text;
    buffer_init(&text, HISTORY_TOTALS_BYTES);
    int found = history_read(store, HISTORY_TOTALS, &text, err);
    cJSON *totals =
        found == 1 ? history_totals_parse(text.bytes == NULL ? "" : text.bytes, text.length) : NULL;
    buffer_done(&text);
    if (found < 0 && err->kind != ERROR_LIMIT) {
        return NULL;
    }
    *out_source = totals != NULL ? SOURCE_FILE : found == 0 ? SOURCE_NO_FILE : SOURCE_DAMAGED;
    if (totals == NULL) {
        totals = from_history(store);
    }
    if (totals == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot count the jobs");
    }
    return totals;
}

cJSON *history_totals_load(const struct history_store *store, bool *out_damaged, struct error *err)
{
    enum source source = SOURCE_FILE;
    cJSON *totals = load(store, &source, err);
    *out_damaged = source == SOURCE_DAMAGED;
    return totals;
}

/* Keeps a damaged file, which may be repaired; at most one a day. */
static int set_aside(const struct history_store *store, int64_t now_s, char out_name[BROKEN_BYTES],
                     struct error *err)
{
    struct tm date;
    time_t moment = (time_t)now_s;
    if (gmtime_r(&moment, &date) == NULL ||
        strftime(out_name, BROKEN_BYTES, HISTORY_TOTALS ".broken-%Y-%m-%d", &date) == 0 ||
        renameat(store->fd, HISTORY_TOTALS, store->fd, out_name) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot rename '%s/" HISTORY_TOTALS "'",
                         store->path);
    }
    return 0;
}

static int write_totals(const struct history_store *store, const cJSON *totals, struct error *err)
{
    char *text = cJSON_PrintUnformatted(totals);
    int result = text == NULL ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot count the jobs")
                              : fd_replace_at(store->fd, HISTORY_TOTALS, text, strlen(text), 0600);
    if (result < 0 && text != NULL) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot write '%s/" HISTORY_TOTALS "'",
                        store->path);
    }
    cJSON_free(text);
    return result;
}

int history_record(const struct history_store *store, const char *line, size_t length,
                   int64_t now_s, bool *out_kept, struct error *err)
{
    enum source source = SOURCE_FILE;
    char broken[BROKEN_BYTES];
    int appended = history_append(store, line, length, now_s, out_kept, err);
    if (!*out_kept) {
        return -1;
    }
    cJSON *totals = load(store, &source, err);
    if (totals == NULL) {
        return -1;
    }
    int result = 0;
    if (source == SOURCE_DAMAGED) {
        result = set_aside(store, now_s, broken, err);
    } else if (source == SOURCE_FILE && history_totals_add(totals, line, length) < 0) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot count the jobs");
    }
    result = result == 0 ? write_totals(store, totals, err) : result;
    cJSON_Delete(totals);
    if (result == 0 && source == SOURCE_DAMAGED) {
        (void)error_set(err, ERROR_SYSTEM, 0,
                        "'%s/" HISTORY_TOTALS "' was damaged and is now '%s'; the counters begin "
                        "again with the jobs of the history",
                        store->path, broken);
        return -1;
    }
    return appended < 0 ? -1 : result;
}

/* A label's value: Prometheus escapes backslash and quote. */
static void label(const char *value, char *out, size_t room)
{
    char text[HISTORY_TEXT_ROOM];
    size_t used = 0;
    (void)escape(text, sizeof(text), value, strlen(value), ESCAPE_TEXT);
    for (const char *at = text; *at != '\0' && used + 3 < room; at++) {
        if (*at == '\\' || *at == '"') {
            out[used++] = '\\';
        }
        out[used++] = *at;
    }
    out[used] = '\0';
}

static int heading(struct buffer *out, const char *name, const char *type, const char *help)
{
    return buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int print_results(const cJSON *backends, struct buffer *out)
{
    char names[2][256];
    const cJSON *backend;
    const cJSON *result;
    if (heading(out, "berth_jobs_total", "counter",
                "Jobs that ended, and failed attempts of "
                "'prepare'.") < 0) {
        return -1;
    }
    cJSON_ArrayForEach(backend, backends)
    {
        label(backend->string, names[0], sizeof(names[0]));
        cJSON_ArrayForEach(result, cJSON_GetObjectItemCaseSensitive(backend, "results"))
        {
            label(result->string, names[1], sizeof(names[1]));
            if (buffer_printf(out, "berth_jobs_total{backend=\"%s\",result=\"%s\"} %.15g\n",
                              names[0], names[1], result->valuedouble) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Of each backend or project: a sample for each currency, and one without a currency for what was
 * counted before. */
static int print_costs(const char *metric, const char *help, const char *label_name,
                       const cJSON *objects, struct buffer *out)
{
    char name[2 * HISTORY_TEXT_BYTES];
    char currency[2 * HISTORY_TEXT_BYTES];
    const cJSON *object;
    const cJSON *cost;
    int result = heading(out, metric, "counter", help);
    cJSON_ArrayForEach(object, objects)
    {
        const cJSON *costs = cJSON_GetObjectItemCaseSensitive(object, "costs");
        double before = number_at(object, "cost");
        label(object->string, name, sizeof(name));
        if (result == 0 && before > 0) {
            result = buffer_printf(out, "%s{%s=\"%s\"} %.15g\n", metric, label_name, name, before);
        }
        cJSON_ArrayForEach(cost, costs)
        {
            label(cost->string, currency, sizeof(currency));
            if (result == 0) {
                result = buffer_printf(out, "%s{%s=\"%s\",currency=\"%s\"} %.15g\n", metric,
                                       label_name, name, currency, number_at(costs, cost->string));
            }
        }
    }
    return result;
}

static int print_sums(const cJSON *backends, struct buffer *out)
{
    char name[256];
    const cJSON *backend;
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        if (heading(out, sums[i].metric, "counter", sums[i].help) < 0) {
            return -1;
        }
        cJSON_ArrayForEach(backend, backends)
        {
            label(backend->string, name, sizeof(name));
            if (buffer_printf(out, "%s{backend=\"%s\"} %.15g\n", sums[i].metric, name,
                              number_at(backend, sums[i].member)) < 0) {
                return -1;
            }
        }
    }
    return print_costs("berth_job_cost_total", "Cost of tasks by [Price], in its currency.",
                       "backend", backends, out);
}

static int print_phase(const char *labels, const cJSON *phase, struct buffer *out)
{
    static const char metric[] = "berth_start_seconds";
    char bound[32];
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        (void)snprintf(bound, sizeof(bound), "%g", bounds[i]);
        if (buffer_printf(out, "%s_bucket{%s,le=\"%s\"} %.15g\n", metric, labels, bound,
                          number_at(phase, bound)) < 0) {
            return -1;
        }
    }
    double count = number_at(phase, "count");
    return buffer_printf(
        out, "%s_bucket{%s,le=\"+Inf\"} %.15g\n%s_sum{%s} %.15g\n%s_count{%s} %.15g\n", metric,
        labels, count, metric, labels, number_at(phase, "sum"), metric, labels, count);
}

static int print_phases(const cJSON *backends, struct buffer *out)
{
    char labels[640];
    char names[2][256];
    const cJSON *backend;
    const cJSON *phase;
    if (heading(out, "berth_start_seconds", "histogram",
                "Time until a task was ready, by "
                "its parts.") < 0) {
        return -1;
    }
    cJSON_ArrayForEach(backend, backends)
    {
        label(backend->string, names[0], sizeof(names[0]));
        cJSON_ArrayForEach(phase, cJSON_GetObjectItemCaseSensitive(backend, "start"))
        {
            label(phase->string, names[1], sizeof(names[1]));
            (void)snprintf(labels, sizeof(labels), "backend=\"%s\",phase=\"%s\"", names[0],
                           names[1]);
            if (print_phase(labels, phase, out) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int print_projects(const cJSON *projects, struct buffer *out)
{
    static const char *const metrics[] = {"berth_project_jobs_total",
                                          "berth_project_run_seconds_total"};
    static const char *const help[] = {"Jobs of a project.", "Run time of a project's jobs."};
    char name[2 * HISTORY_TEXT_BYTES];
    const cJSON *project;
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        if (heading(out, metrics[i], "counter", help[i]) < 0) {
            return -1;
        }
        cJSON_ArrayForEach(project, projects)
        {
            label(project->string, name, sizeof(name));
            if (buffer_printf(out, "%s{project=\"%s\"} %.15g\n", metrics[i], name,
                              number_at(project, project_sums[i])) < 0) {
                return -1;
            }
        }
    }
    return print_costs("berth_project_cost_total",
                       "Cost of a project's jobs by [Price], in its currency.", "project", projects,
                       out);
}

int history_totals_print(const cJSON *totals, bool projects, struct buffer *out)
{
    const cJSON *backends = cJSON_GetObjectItemCaseSensitive(totals, "backends");
    if (print_results(backends, out) < 0 || print_sums(backends, out) < 0 ||
        print_phases(backends, out) < 0) {
        return -1;
    }
    return projects ? print_projects(cJSON_GetObjectItemCaseSensitive(totals, "projects"), out) : 0;
}
