/* SPDX-License-Identifier: MIT */
/* Notes and lines of the history. Beyond "no crash": a line made of any notes is one line that
 * readers accept, no text can end the report's script element or a line of the metrics, and
 * counters do not fall. */
#include <stdlib.h>
#include <string.h>

#include "driver/base/json.h"
#include "driver/commands/report/report.h"
#include "driver/history/history.h"
#include "driver/history/store.h"
#include "driver/history/totals.h"
#include "tests/fuzz/fuzz.h"

#define JOB "job-1-0123456789abcdef"

static void check_report(const struct history_job *job)
{
    struct history_job own = *job;
    struct history history = {.jobs = &own, .count = 1};
    struct report_scope scope = {.now_s = 1, .currency = "USD", .version = "0"};
    struct buffer data;
    buffer_init(&data, 1UL << 24);
    fuzz_require(report_data(&history, &scope, &data) == 0);
    fuzz_require(data.bytes[strcspn(data.bytes, "<>&")] == '\0');
    fuzz_require(strlen(data.bytes) == data.length);
    fuzz_require(strstr(data.bytes, "\xe2\x80\xa8") == NULL);
    cJSON *root = cJSON_ParseWithLength(data.bytes, data.length);
    fuzz_require(cJSON_IsObject(root));
    fuzz_require(cJSON_GetArraySize(cJSON_GetObjectItem(root, "jobs")) == 1);
    cJSON_Delete(root);
    buffer_done(&data);
}

static void check_totals(cJSON *totals, const char *line, size_t length)
{
    struct buffer text;
    buffer_init(&text, HISTORY_METRICS_BYTES);
    fuzz_require(history_totals_add(totals, line, length) == 0);
    fuzz_require(history_totals_print(totals, true, &text) == 0);
    size_t at = 0;
    const char *row = NULL;
    while (history_next_line(text.bytes, text.length, &at, &row, &length)) {
        fuzz_require(strncmp(row, "berth_", 6) == 0 || strncmp(row, "# ", 2) == 0);
    }
    buffer_done(&text);
}

static void read_lines(const char *bytes, size_t size)
{
    const char *line = NULL;
    size_t length = 0;
    size_t at = 0;
    cJSON *totals = history_totals_parse(NULL, 0);
    while (history_next_line(bytes, size, &at, &line, &length)) {
        struct history_job job;
        cJSON *root = history_job_parse(line, length, &job);
        if (root != NULL) {
            fuzz_require(job.key[0] != '\0' && job.ended_at_s > 0);
            check_report(&job);
        }
        cJSON_Delete(root);
        check_totals(totals, line, length);
    }
    cJSON_Delete(totals);
    totals = history_totals_parse(bytes, size); /* a damaged file of counters */
    if (totals != NULL) {
        check_totals(totals, "", 0);
    }
    cJSON_Delete(totals);
}

static void read_notes(const char *bytes, size_t size)
{
    struct buffer line;
    struct history_job job;
    struct config_price price = {1, 1, 1, (char *)(uintptr_t) "USD"};
    struct history_figures figures = {.vcpus = 1};
    struct history_end end = {.at_s = 5, .figures = &figures, .price = &price};
    buffer_init(&line, 1UL << 24);
    int result = history_entry(JOB, bytes, size, &end, &line);
    fuzz_require(result == 0 || result == 1);
    if (result == 1) {
        fuzz_require(memchr(line.bytes, '\n', line.length) == NULL);
        cJSON *root = history_job_parse(line.bytes, line.length, &job);
        fuzz_require(root == NULL || strcmp(job.key, JOB) == 0); /* NULL: no valid backend */
        cJSON_Delete(root);
    }
    buffer_done(&line);
}

static void read_response(const char *bytes, size_t size)
{
    struct buffer line;
    struct history_figures figures = {.spot = true};
    struct history_stage stage = {.name = "prepare", .status = "x", .reason = "a secret reason"};
    cJSON *response = cJSON_ParseWithLength(bytes, size);
    buffer_init(&line, 1UL << 24);
    fuzz_require(history_note_job(JOB, response, "local", 1, &line) == 0);
    fuzz_require(memchr(line.bytes, '\n', line.length) == NULL);
    cJSON *note = cJSON_ParseWithLength(line.bytes, line.length);
    fuzz_require(note != NULL && strchr(json_text_or_empty(note, "url"), '\n') == NULL);
    cJSON_Delete(note);
    buffer_clear(&line);
    fuzz_require(history_note_stage(&stage, &figures, response, &line) == 0);
    history_read_facts(response, &figures);
    cJSON_Delete(response);
    buffer_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    read_lines(text, size);
    read_notes(text, size);
    read_response(text, size);
    return 0;
}
