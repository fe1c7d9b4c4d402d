/* SPDX-License-Identifier: MIT */
#include "driver/history/entry.h"

#include <stdio.h>
#include <string.h>

#include "driver/base/json.h"
#include "driver/history/store.h"
#include "driver/history/text.h"
#include "driver/runner/stage.h"

#define STAGES_MAX    64
#define HOUR_S        3600.0
#define LATE_S        10 /* GitLab Runner counts the timeout from before it starts 'prepare' */
#define USAGE_UNKNOWN (1ULL << 50)

/* A value that cannot be is unknown or forged. */
static double sane(uint64_t number)
{
    return number < USAGE_UNKNOWN ? (double)number : 0;
}

int history_note_begin(const char *stage, struct buffer *out)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    history_text(root, "begin", stage, HISTORY_TEXT_BYTES, &ok);
    return history_print(root, ok, out);
}

int history_note_cleanup(int64_t at_s, struct buffer *out)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    history_number(root, "cleanup_at", (double)at_s, &ok);
    return history_print(root, ok, out);
}

static void add_start(cJSON *root, const struct history_figures *figures, bool *ok)
{
    if (figures->start_s > 0 || figures->placed_s > 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(root, "start");
        cJSON *start = json_object(root, "start", ok);
        history_seconds(start, "queued", figures->queued_s, ok);
        history_seconds(start, "placed", figures->placed_s, ok);
        history_seconds(start, "pulled", figures->pulled_s, ok);
        history_seconds(start, "created", figures->created_s, ok);
        history_seconds(start, "started", figures->started_s, ok);
        history_seconds(start, "login", figures->login_s, ok);
        history_seconds(start, "services", figures->services_s, ok);
    }
    history_seconds(root, "start_seconds", figures->start_s, ok);
}

static void add_task(cJSON *root, const struct history_figures *figures, bool *ok)
{
    history_text(root, "task", figures->task, HISTORY_TEXT_BYTES, ok);
    if (json_text_at(root, "image") == NULL) {
        history_text(root, "image", figures->image, HISTORY_TEXT_BYTES, ok);
    }
    history_number(root, "vcpus", figures->vcpus, ok);
    history_number(root, "memory_gib", figures->memory_gib, ok);
    if (figures->spot && !json_true_at(root, "spot")) {
        json_bool(root, "spot", true, ok);
    }
    if (figures->elsewhere && !json_true_at(root, "elsewhere")) {
        json_bool(root, "elsewhere", true, ok);
    }
    add_start(root, figures, ok);
}

int history_note_stage(const struct history_stage *stage, const struct history_figures *figures,
                       const cJSON *response, struct buffer *out)
{
    char reason[HISTORY_TEXT_ROOM];
    const struct jobwire_usage *usage = &figures->usage;
    cJSON *root = cJSON_CreateObject();
    cJSON *facts = cJSON_CreateObject(); /* of the job, not of this stage */
    bool ok = root != NULL && facts != NULL;
    history_text(root, "stage", stage->name, HISTORY_TEXT_BYTES, &ok);
    history_text(root, "result", stage->status, HISTORY_TEXT_BYTES, &ok);
    history_number(root, "exit_code", stage->exit_code, &ok);
    history_seconds(root, "seconds", stage->seconds, &ok);
    history_number(root, "stopped_at", (double)stage->stopped_at_s, &ok);
    if (figures->usage_known) {
        history_seconds(root, "cpu_seconds", sane(usage->cpu_ms) / 1000, &ok);
        if (sane(usage->limit_bytes) > 0) { /* else it is the peak of this whole machine */
            history_number(root, "peak_bytes", sane(usage->peak_bytes), &ok);
            history_number(root, "limit_bytes", sane(usage->limit_bytes), &ok);
        }
        history_number(root, "process_peak_bytes", sane(usage->process_peak_bytes), &ok);
        history_number(root, "oom_kills", sane(usage->oom_kills), &ok);
    }
    history_number(root, "output_bytes", sane(figures->output_bytes), &ok);
    (void)snprintf(reason, sizeof(reason), "%s", stage->reason == NULL ? "" : stage->reason);
    history_mask(reason, response);
    history_text(root, "reason", reason, HISTORY_REASON_BYTES, &ok);
    add_task(facts, figures, &ok);
    if (facts != NULL && !cJSON_AddItemToObject(root, "facts", facts)) {
        cJSON_Delete(facts);
        ok = false;
    }
    return history_print(root, ok, out);
}

/* Stages whose failure the runner does not count: the job's result is known before them. */
static bool counts(const char *stage)
{
    static const char *const others[] = {"after_script", "archive_cache",
                                         "archive_cache_on_failure", "cleanup_file_variables",
                                         "cleanup"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(stage, others[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_success(const cJSON *stage)
{
    return strcmp(json_text_or_empty(stage, "result"), "success") == 0;
}

/* Whether a later attempt of the stage replaces this one. */
static bool is_repeated(const cJSON *stage)
{
    const char *name = json_text_or_empty(stage, "stage");
    for (const cJSON *later = stage->next; later != NULL; later = later->next) {
        if (strcmp(json_text_or_empty(later, "stage"), name) == 0) {
            return true;
        }
    }
    return false;
}

/* The stage that decides the job's result; NULL: none failed. */
static const cJSON *failed_stage(const cJSON *stages)
{
    const cJSON *stage;
    cJSON_ArrayForEach(stage, stages)
    {
        if (counts(json_text_or_empty(stage, "stage")) && !is_success(stage) &&
            !is_repeated(stage)) {
            return stage;
        }
    }
    return NULL;
}

/* Whether the job's timeout was over when its stage was stopped: GitLab Runner ends it by the same
 * signal as a job that a user cancels. */
static bool is_timeout(const cJSON *root, const cJSON *stage)
{
    int64_t timeout_s = json_number_at(root, "timeout");
    int64_t started_at_s = json_number_at(root, "started_at");
    int64_t stopped_at_s = json_number_at(stage, "stopped_at");
    return timeout_s > 0 && started_at_s > 0 && stopped_at_s - started_at_s >= timeout_s - LATE_S;
}

static void add_failure(cJSON *root, const cJSON *stage, bool *ok)
{
    char text[HISTORY_TEXT_ROOM];
    const char *name = json_text_or_empty(stage, "stage");
    const char *result = json_text_or_empty(stage, "result");
    const char *reason = json_text_or_empty(stage, "reason");
    bool is_script = strcmp(result, "script_failure") == 0;
    bool stopped = strcmp(result, "stopped") == 0;
    bool timeout = stopped && is_timeout(root, stage);
    bool out_of_memory = json_number_at(stage, "oom_kills") > 0;
    const char *word = timeout                                 ? "failed"
                       : stopped                               ? "canceled"
                       : strcmp(result, "system_failure") == 0 ? "system_failure"
                                                               : "failed";
    const char *kind = timeout                        ? "timeout"
                       : stopped                      ? "canceled"
                       : out_of_memory                ? "memory"
                       : strcmp(name, "prepare") == 0 ? "prepare"
                       : is_script                    ? "script"
                       : strcmp(word, "failed") == 0  ? "setup"
                                                      : "system";
    int code = (int)json_number_at(stage, "exit_code");
    if (reason[0] != '\0') {
        (void)snprintf(text, sizeof(text), "%s", reason);
    } else if (timeout) {
        (void)snprintf(text, sizeof(text), "the job's timeout of %lld s was over in stage '%s'",
                       (long long)json_number_at(root, "timeout"), name);
    } else if (stopped) {
        (void)snprintf(text, sizeof(text), "stopped on request in stage '%s'", name);
    } else {
        (void)snprintf(text, sizeof(text), "stage '%s' exited with code %d%s", name, code,
                       out_of_memory ? ", out of memory" : "");
    }
    history_text(root, "result", word, HISTORY_TEXT_BYTES, ok);
    history_number(root, "exit_code", code, ok);
    history_text(root, "failure", kind, HISTORY_TEXT_BYTES, ok);
    history_text(root, "reason", text, HISTORY_REASON_BYTES, ok);
}

static void add_unbegun(cJSON *root, const cJSON *stages, bool *ok)
{
    bool prepared = false;
    bool ran = false;
    const cJSON *stage;
    cJSON_ArrayForEach(stage, stages)
    {
        bool is_prepare = strcmp(json_text_or_empty(stage, "stage"), "prepare") == 0;
        prepared = prepared || is_prepare;
        ran = ran || (!is_prepare && !stage_is_predefined(json_text_or_empty(stage, "stage")));
    }
    history_text(root, "result", ran ? "success" : "canceled", HISTORY_TEXT_BYTES, ok);
    if (!ran) {
        history_text(root, "failure", "canceled", HISTORY_TEXT_BYTES, ok);
        history_text(root, "reason",
                     prepared ? "it ended before its first script"
                              : "it ended before its task was launched",
                     HISTORY_REASON_BYTES, ok);
    }
}

static void add_result(cJSON *root, const cJSON *stages, const struct history_end *end, bool *ok)
{
    const cJSON *failed = failed_stage(stages);
    if (end->lost) {
        history_text(root, "result", "lost", HISTORY_TEXT_BYTES, ok);
        history_text(root, "failure", "lost", HISTORY_TEXT_BYTES, ok);
        history_text(root, "reason", end->reason, HISTORY_REASON_BYTES, ok);
    } else if (failed != NULL) {
        add_failure(root, failed, ok);
    } else {
        add_unbegun(root, stages, ok);
    }
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < 9e15
               ? item->valuedouble
               : 0;
}

/* Sums and peaks over the stages. */
static void add_totals(cJSON *root, const cJSON *stages, bool *ok)
{
    static const struct {
        const char *name;
        bool sum;
    } rows[] = {{"cpu_seconds", true}, {"output_bytes", true}, {"oom_kills", true},
                {"peak_bytes", false}, {"limit_bytes", false}, {"process_peak_bytes", false}};
    const cJSON *stage;
    double run_s = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double total = 0;
        cJSON_ArrayForEach(stage, stages)
        {
            double value = number_of(stage, rows[i].name);
            total = rows[i].sum ? total + value : value > total ? value : total;
        }
        history_number(root, rows[i].name, total, ok);
    }
    cJSON_ArrayForEach(stage, stages)
    {
        bool is_prepare = strcmp(json_text_or_empty(stage, "stage"), "prepare") == 0;
        run_s += is_prepare ? 0 : number_of(stage, "seconds");
    }
    history_seconds(root, "run_seconds", run_s, ok);
}

double history_cost(const struct config_price *price, const struct history_figures *figures,
                    double seconds)
{
    double hour = figures->vcpus * price->vcpu_hour + figures->memory_gib * price->gib_hour;
    return figures->elsewhere || !(hour > 0) || !(seconds > 0)
               ? 0
               : hour * seconds / HOUR_S * (figures->spot ? price->spot_factor : 1);
}

void history_cost_text(double cost, const char *currency, char *out, size_t room)
{
    bool less = cost < HISTORY_COST_LEAST;
    (void)snprintf(out, room, "%s%.4f %.16s", less ? "less than " : "",
                   less ? HISTORY_COST_LEAST : cost, currency);
}

static void add_cost(cJSON *root, const struct history_end *end, bool *ok)
{
    struct history_figures figures = {.vcpus = number_of(root, "vcpus"),
                                      .memory_gib = number_of(root, "memory_gib"),
                                      .spot = json_true_at(root, "spot"),
                                      .elsewhere = json_true_at(root, "elsewhere")};
    double seconds = number_of(root, "ended_at") - number_of(root, "started_at");
    double cost = end->lost ? 0 : history_cost(end->price, &figures, seconds < 1 ? 1 : seconds);
    if (cost > 0) {
        history_number(root, "cost", (double)(int64_t)(cost * 1e6 + 0.5) / 1e6, ok);
        history_text(root, "currency", end->price->currency, HISTORY_TEXT_BYTES, ok);
    }
}

/* Members of a job that notes may set. */
static void take_facts(cJSON *root, const cJSON *from, bool *ok)
{
    static const char *const known[] = {
        "key",        "job",     "started_at", "name",  "project",      "ref",
        "url",        "backend", "timeout",    "task",  "image",        "vcpus",
        "memory_gib", "spot",    "elsewhere",  "start", "start_seconds"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, known[i]);
        bool keep = strcmp(known[i], "image") == 0 && cJSON_HasObjectItem(root, "image");
        if (item == NULL || keep) {
            continue;
        }
        cJSON *copy = cJSON_Duplicate(item, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(root, known[i]);
        if (copy == NULL || !cJSON_AddItemToObject(root, known[i], copy)) {
            cJSON_Delete(copy);
            *ok = false;
        }
    }
}

/* A stage that began and did not end: its driver was killed. */
static void add_killed(cJSON *stages, const char *name, bool *ok)
{
    cJSON *stage = cJSON_CreateObject();
    history_text(stage, "stage", name, HISTORY_TEXT_BYTES, ok);
    history_text(stage, "result", "system_failure", HISTORY_TEXT_BYTES, ok);
    history_text(stage, "reason", "the driver was killed while this stage ran",
                 HISTORY_REASON_BYTES, ok);
    if (stage == NULL || !cJSON_AddItemToArray(stages, stage)) {
        cJSON_Delete(stage);
        *ok = false;
    }
}

/* The notes, line by line; torn ones are skipped. Returns when a cleanup ended the job without
 * writing its line; 0: none did. */
static int64_t take_notes(cJSON *root, cJSON *stages, const char *notes, size_t length, bool *ok)
{
    int64_t cleanup_s = 0;
    const char *line = NULL;
    size_t line_length = 0;
    size_t at = 0;
    char open[HISTORY_TEXT_BYTES] = "";
    while (history_next_line(notes, length, &at, &line, &line_length)) {
        cJSON *note = cJSON_ParseWithLength(line, line_length);
        const char *begin = json_text_at(note, "begin");
        bool is_stage = json_text_at(note, "stage") != NULL;
        cleanup_s =
            number_of(note, "cleanup_at") > 0 ? (int64_t)number_of(note, "cleanup_at") : cleanup_s;
        if (begin != NULL && open[0] != '\0') {
            add_killed(stages, open, ok);
        }
        if (begin != NULL || is_stage) {
            (void)snprintf(open, sizeof(open), "%s", begin != NULL ? begin : "");
        }
        take_facts(root, is_stage ? cJSON_GetObjectItemCaseSensitive(note, "facts") : note, ok);
        if (is_stage && cJSON_GetArraySize(stages) < STAGES_MAX) {
            cJSON_DeleteItemFromObjectCaseSensitive(note, "facts");
            *ok = cJSON_AddItemToArray(stages, note) && *ok;
            note = NULL;
        }
        cJSON_Delete(note);
    }
    if (open[0] != '\0') {
        add_killed(stages, open, ok);
    }
    return cleanup_s;
}

int history_entry(const char *job, const char *notes, size_t length, const struct history_end *end,
                  struct buffer *out)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *stages = cJSON_CreateArray();
    struct history_end own = *end;
    bool ok = root != NULL && stages != NULL;
    json_number(root, "v", HISTORY_VERSION, &ok);
    json_number(root, "ended_at", end->at_s, &ok);
    int64_t cleanup_s = take_notes(root, stages, notes, length, &ok);
    if (cleanup_s > 0 && end->lost) {
        own.lost = false;
        own.at_s = cleanup_s;
        cJSON *ended_at = cJSON_GetObjectItemCaseSensitive(root, "ended_at");
        (void)(ended_at != NULL && cJSON_SetNumberHelper(ended_at, (double)cleanup_s));
    }
    if (json_text_at(root, "key") == NULL || strcmp(json_text_at(root, "key"), job) != 0) {
        cJSON_Delete(root);
        cJSON_Delete(stages);
        return ok ? 0 : -1;
    }
    if (end->figures != NULL) {
        add_task(root, end->figures, &ok);
    }
    add_result(root, stages, &own, &ok);
    add_totals(root, stages, &ok);
    add_cost(root, &own, &ok);
    /* The last member: readers that need no stages stop before it. */
    if (stages != NULL && !cJSON_AddItemToObject(root, "stages", stages)) {
        cJSON_Delete(stages);
        ok = false;
    }
    return history_print(root, ok, out) < 0 ? -1 : 1;
}
