/* SPDX-License-Identifier: MIT */
/* What a job's line says of its stages' notes. */
#include "driver/base/json.h"
#include "driver/history/entry.h"
#include "driver/history/history.h"
#include "driver/history/text.h"
#include "tests/unit/driver/rows.h"
#include "tests/unit/rows.h"

#define JOB      "job-7-0123456789abcdef"
#define ORIGIN   "{\"key\":\"" JOB "\",\"job\":7,\"started_at\":1000,\"backend\":\"ecs\"}\n"
#define OK(name) "{\"begin\":\"" name "\"}\n{\"stage\":\"" name "\",\"result\":\"success\"}\n"
#define BAD(name, result)                                                    \
    "{\"begin\":\"" name "\"}\n{\"stage\":\"" name "\",\"result\":\"" result \
    "\",\"reason\":\"why\"}\n"
#define CODE(n)                      \
    "{\"begin\":\"build_script\"}\n" \
    "{\"stage\":\"build_script\",\"result\":\"script_failure\",\"exit_code\":" #n "}\n"

#define TIMEOUT(n) \
    "{\"key\":\"" JOB "\",\"job\":7,\"started_at\":1000,\"backend\":\"ecs\",\"timeout\":" #n "}\n"
#define STOPPED(n)                   \
    "{\"begin\":\"build_script\"}\n" \
    "{\"stage\":\"build_script\",\"result\":\"stopped\",\"stopped_at\":" #n "}\n"

static const struct config_price price = {3600, 0, 0.5, (char *)(uintptr_t) "EUR"};

static cJSON *entry_of(const char *notes, const struct history_end *end)
{
    struct buffer line;
    buffer_init(&line, 1UL << 20);
    int result = history_entry(JOB, notes, strlen(notes), end, &line);
    cJSON *root = result == 1 ? cJSON_ParseWithLength(line.bytes, line.length) : NULL;
    struct history_job job;
    cJSON *again = result == 1 ? history_job_parse(line.bytes, line.length, &job) : NULL;
    assert_true((root == NULL) == (again == NULL));
    assert_true(root == NULL || memchr(line.bytes, '\n', line.length) == NULL);
    cJSON_Delete(again);
    buffer_done(&line);
    return root;
}

static const struct result_row {
    const char *name, *notes, *result, *failure, *reason;
    int exit_code;
} results[] = {
    {"all well", ORIGIN OK("prepare") OK("build_script"), "success", "", "", 0},
    {"a script's status", ORIGIN OK("prepare") CODE(42), "failed", "script",
     "stage 'build_script' exited with code 42", 42},
    {"after_script does not count",
     ORIGIN OK("prepare") OK("build_script") BAD("after_script", "script_failure"), "success", "",
     "", 0},
    {"nor does the cache",
     ORIGIN OK("prepare") OK("build_script") BAD("archive_cache", "system_failure"), "success", "",
     "", 0},
    {"nor the removal of file variables",
     ORIGIN OK("prepare") OK("build_script") BAD("cleanup_file_variables", "system_failure"),
     "success", "", "", 0},
    {"artifacts count",
     ORIGIN OK("prepare") OK("build_script") BAD("upload_artifacts_on_success", "script_failure"),
     "failed", "script", "why", 0},
    {"the first failure decides", ORIGIN OK("prepare") BAD("get_sources", "system_failure") CODE(1),
     "system_failure", "system", "why", 0},
    {"a later attempt of a stage replaces it",
     ORIGIN OK("prepare") BAD("get_sources", "script_failure") OK("get_sources") OK("build_script"),
     "success", "", "", 0},
    {"prepare failed", ORIGIN BAD("prepare", "system_failure"), "system_failure", "prepare", "why",
     0},
    {"prepare cannot work", ORIGIN BAD("prepare", "build_failure"), "failed", "prepare", "why", 0},
    {"prepare was stopped", ORIGIN BAD("prepare", "stopped"), "canceled", "canceled", "why", 0},
    {"a cancel long before the timeout", TIMEOUT(600) STOPPED(1500), "canceled", "canceled",
     "stopped on request in stage 'build_script'", 0},
    {"the timeout", TIMEOUT(600) STOPPED(1600), "failed", "timeout",
     "the job's timeout of 600 s was over in stage 'build_script'", 0},
    {"the runner's clock began earlier", TIMEOUT(600) STOPPED(1591), "failed", "timeout",
     "the job's timeout of 600 s was over in stage 'build_script'", 0},
    {"a cancel shortly before", TIMEOUT(600) STOPPED(1589), "canceled", "canceled",
     "stopped on request in stage 'build_script'", 0},
    {"no timeout is known", ORIGIN OK("prepare") STOPPED(9999), "canceled", "canceled",
     "stopped on request in stage 'build_script'", 0},
    {"the timeout was over later", TIMEOUT(600) STOPPED(1100) OK("after_script"), "canceled",
     "canceled", "stopped on request in stage 'build_script'", 0},
    {"Berth refused the script", ORIGIN OK("prepare") BAD("build_script", "build_failure"),
     "failed", "setup", "why", 0},
    {"nothing ran", ORIGIN OK("prepare"), "canceled", "canceled",
     "it ended before its first script", 0},
    {"only the runner's own stages ran", ORIGIN OK("prepare") OK("get_sources"), "canceled",
     "canceled", "it ended before its first script", 0},
    {"nothing was launched", ORIGIN, "canceled", "canceled",
     "it ended before its task was launched", 0},
    {"the driver was killed", ORIGIN OK("prepare") "{\"begin\":\"build_script\"}\n",
     "system_failure", "system", "the driver was killed while this stage ran", 0},
    {"and the next stage ran",
     ORIGIN OK("prepare") "{\"begin\":\"build_script\"}\n" OK("after_script"), "system_failure",
     "system", "the driver was killed while this stage ran", 0},
    {"out of memory",
     ORIGIN OK("prepare") "{\"stage\":\"build_script\",\"result\":\"script_failure\",\"exit_code\":"
                          "137,\"oom_kills\":1}\n",
     "failed", "memory", "stage 'build_script' exited with code 137, out of memory", 137},
    {"torn and foreign notes are skipped",
     ORIGIN "{\"sta\n\x01\xff\n[]\n1\n" OK("build_script") "{\"stage\":\"x\"", "success", "", "",
     0},
};

static void results_follow(void **state)
{
    const struct result_row *row = *state;
    struct history_end end = {.at_s = 2000, .price = &price};
    cJSON *root = entry_of(row->notes, &end);
    assert_non_null(root);
    assert_string_equal(json_text_or_empty(root, "result"), row->result);
    assert_string_equal(json_text_or_empty(root, "failure"), row->failure);
    assert_string_equal(json_text_or_empty(root, "reason"), row->reason);
    assert_int_equal(json_number_at(root, "exit_code"), row->exit_code);
    cJSON_Delete(root);
}

static void lost_whatever_the_stages_were(void **state)
{
    (void)state;
    struct history_end end = {.at_s = 2000, .lost = true, .reason = "gone", .price = &price};
    cJSON *root = entry_of(ORIGIN OK("prepare") CODE(3), &end);
    assert_string_equal(json_text_or_empty(root, "result"), "lost");
    assert_string_equal(json_text_or_empty(root, "reason"), "gone");
    cJSON_Delete(root);
    /* When its task ended is not known, so neither is its cost. */
    root = entry_of("{\"key\":\"" JOB "\",\"started_at\":1000,\"backend\":\"ecs\",\"vcpus\":1}\n",
                    &end);
    assert_null(cJSON_GetObjectItem(root, "cost"));
    cJSON_Delete(root);
    /* Not what a cleanup has ended that could not write the line. */
    root = entry_of(ORIGIN OK("prepare") CODE(3) "{\"cleanup_at\":1500}\n", &end);
    assert_string_equal(json_text_or_empty(root, "result"), "failed");
    assert_int_equal(json_number_at(root, "ended_at"), 1500);
    cJSON_Delete(root);
    assert_null(entry_of("", &end));
    assert_null(entry_of("{\"key\":\"job-8-x\"}\n", &end)); /* another job's notes */
}

static void cost_texts(void **state)
{
    (void)state;
    char text[64];
    history_cost_text(1.23456, "EUR", text, sizeof(text));
    assert_string_equal(text, "1.2346 EUR");
    history_cost_text(0.0001, "EUR", text, sizeof(text));
    assert_string_equal(text, "0.0001 EUR");
    history_cost_text(0.00009, "EUR", text, sizeof(text));
    assert_string_equal(text, "less than 0.0001 EUR");
}

static void costs(void **state)
{
    (void)state;
    static const struct {
        const char *name, *facts;
        double cost;
    } rows[] = {
        {"no size", "", 0},
        {"one unit a second", ",\"vcpus\":1", 1000},
        {"Spot", ",\"vcpus\":1,\"spot\":true", 500},
        {"not on Fargate", ",\"vcpus\":1,\"elsewhere\":true", 0},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char notes[512];
        struct history_end end = {.at_s = 2000, .price = &price};
        (void)snprintf(notes, sizeof(notes),
                       "{\"key\":\"" JOB "\",\"started_at\":1000,\"backend\":\"ecs\"%s}\n",
                       rows[i].facts);
        cJSON *root = entry_of(notes, &end);
        const cJSON *cost = cJSON_GetObjectItem(root, "cost");
        double found = cJSON_IsNumber(cost) ? cost->valuedouble : 0;
        if (found < rows[i].cost - 0.001 || found > rows[i].cost + 0.001 ||
            (found > 0) != (json_text_at(root, "currency") != NULL)) {
            fail_msg("%s: %f", rows[i].name, found);
        }
        cJSON_Delete(root);
    }
}

/* Without a limit the peak is that of the whole machine. */
static void memory_of_a_stage(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct jobwire_usage usage;
        bool has_peak;
    } rows[] = {
        {"with a limit", {.peak_bytes = 100, .limit_bytes = 200}, true},
        {"without", {.peak_bytes = 100}, false},
        {"a limit that cannot be", {.peak_bytes = 100, .limit_bytes = UINT64_MAX}, false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct buffer line;
        struct history_figures figures = {.usage_known = true, .usage = rows[i].usage};
        struct history_stage stage = {.name = "build_script", .status = "success"};
        buffer_init(&line, 1UL << 20);
        assert_int_equal(history_note_stage(&stage, &figures, NULL, &line), 0);
        cJSON *note = cJSON_Parse(line.bytes);
        if ((json_number_at(note, "peak_bytes") > 0) != rows[i].has_peak) {
            fail_msg("%s: %s", rows[i].name, line.bytes);
        }
        cJSON_Delete(note);
        buffer_done(&line);
    }
}

static void secrets_are_masked(void **state)
{
    (void)state;
    static const struct {
        const char *name, *variables, *reason, *shown;
    } rows[] = {
        {"masked", "{\"value\":\"s3cret\",\"masked\":true,\"public\":true}", "x s3crets3cret y",
         "x [masked][masked] y"},
        {"not public", "{\"value\":\"s3cret\",\"masked\":false,\"public\":false}", "s3cret",
         "[masked]"},
        {"public", "{\"value\":\"s3cret\",\"masked\":false,\"public\":true}", "s3cret", "s3cret"},
        {"too short to differ from words", "{\"value\":\"no\",\"public\":false}", "no way",
         "no way"},
        {"part of the mask", "{\"value\":\"masked\",\"public\":false}", "masked", "[masked]"},
        {"a part that a message shows", "{\"value\":\"0123456789abcdefghij\",\"public\":false}",
         "'0123456789abcdef' is not valid", "'[masked]' is not valid"},
        {"too little to be a part", "{\"value\":\"0123456789abcdefghij\",\"public\":false}",
         "0123456789abcde", "0123456789abcde"},
        {"no text", "{\"value\":7,\"public\":false}", "7777", "7777"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char text[512];
        struct buffer line;
        struct history_figures figures = {.spot = false};
        struct history_stage stage = {.name = "prepare", .status = "x", .reason = rows[i].reason};
        (void)snprintf(text, sizeof(text), "{\"variables\":[%s]}", rows[i].variables);
        cJSON *response = cJSON_Parse(text);
        buffer_init(&line, 1UL << 20);
        assert_int_equal(history_note_stage(&stage, &figures, response, &line), 0);
        cJSON *note = cJSON_Parse(line.bytes);
        if (strcmp(json_text_or_empty(note, "reason"), rows[i].shown) != 0) {
            fail_msg("%s: %s", rows[i].name, line.bytes);
        }
        cJSON_Delete(note);
        cJSON_Delete(response);
        buffer_done(&line);
    }
}

/* A message that had no room for the rest of a value. */
static void a_value_that_is_cut_off_is_masked(void **state)
{
    (void)state;
    char text[HISTORY_TEXT_ROOM];
    cJSON *response = cJSON_Parse("{\"variables\":[{\"value\":\"s3cret\",\"public\":false}]}");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text + sizeof(text) - 6, "s3cre", 5);
    history_mask(text, response);
    assert_null(strstr(text, "s3"));
    (void)snprintf(text, sizeof(text), "it ends with s3cre");
    history_mask(text, response);
    assert_string_equal(text, "it ends with s3cre");
    cJSON_Delete(response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_whatever_the_stages_were),
        cmocka_unit_test(costs),
        cmocka_unit_test(cost_texts),
        cmocka_unit_test(memory_of_a_stage),
        cmocka_unit_test(secrets_are_masked),
        cmocka_unit_test(a_value_that_is_cut_off_is_masked),
    };
    int failed = rows_run(results, results_follow);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
