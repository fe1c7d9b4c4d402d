/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/escape.h"
#include "driver/commands/report/report.h"

#define MIB       1048576.0
#define ROW_BYTES 512 /* of 21 numbers with 16 digits at most */

/* Texts by the address of their shared copy (history.h), in order of their first use. */
struct dictionary {
    struct word {
        const char *text;
        size_t index;
    } * words;
    size_t slots, count;
    struct buffer *out;
};

/* A JSON string, quotes included, that is safe inside a script element. */
static int write_text(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    size_t room = length * ESCAPE_WORST + 1;
    cleanup_free char *escaped = malloc(room);
    if (escaped == NULL) {
        return -1;
    }
    (void)escape(escaped, room, text, length, ESCAPE_JSON);
    int result = buffer_append(out, "\"", 1);
    for (const char *at = escaped; *at != '\0' && result == 0;) {
        size_t plain = strcspn(at, "<>&");
        result = buffer_append(out, at, plain);
        at += plain;
        if (*at != '\0' && result == 0) {
            result = buffer_printf(out, "\\u%04x", (unsigned)*at++);
        }
    }
    return result < 0 ? -1 : buffer_append(out, "\"", 1);
}

static size_t hash_of(const char *text, size_t slots)
{
    uint64_t number = (uint64_t)(uintptr_t)text;
    number *= 0x9e3779b97f4a7c15ULL;
    return (size_t)(number >> 32) & (slots - 1);
}

/* At most 7 texts of a job are words, so the table is never full. */
static int dictionary_open(struct dictionary *dictionary, size_t jobs, struct buffer *out)
{
    size_t slots = 16;
    while (slots < jobs * 8) {
        slots *= 2;
    }
    *dictionary = (struct dictionary){
        .words = calloc(slots, sizeof(struct word)), .slots = slots, .out = out};
    return dictionary->words == NULL ? -1 : 0;
}

static int index_of(struct dictionary *dictionary, const char *text, size_t *out_index)
{
    size_t at = hash_of(text, dictionary->slots);
    while (dictionary->words[at].text != NULL && dictionary->words[at].text != text) {
        at = (at + 1) & (dictionary->slots - 1);
    }
    struct word *word = &dictionary->words[at];
    if (word->text == NULL) {
        *word = (struct word){.text = text, .index = dictionary->count++};
        if ((word->index > 0 && buffer_append(dictionary->out, ",\n", 2) < 0) ||
            write_text(dictionary->out, text) < 0) {
            return -1;
        }
    }
    *out_index = word->index;
    return 0;
}

/* "[1,2,3]", rounded to whole numbers: without printf(), which took most of the time. */
static int add_numbers(const double *numbers, size_t count, struct buffer *out)
{
    char row[ROW_BYTES];
    size_t used = 0;
    row[used++] = out->length == 0 ? '[' : ',';
    if (out->length > 0) {
        row[used++] = '\n';
        row[used++] = '[';
    }
    for (size_t i = 0; i < count; i++) {
        char digits[24];
        size_t length = 0;
        uint64_t number = numbers[i] > 0 && numbers[i] < 9e15 ? (uint64_t)(numbers[i] + 0.5) : 0;
        do {
            digits[length++] = (char)('0' + number % 10);
            number /= 10;
        } while (number > 0);
        if (i > 0) {
            row[used++] = ',';
        }
        while (length > 0) {
            row[used++] = digits[--length];
        }
    }
    row[used++] = ']';
    return buffer_append(out, row, used);
}

/* Milliseconds, millionths of the currency, MiB. */
static int add_row(const struct history_job *job, struct dictionary *dictionary, struct buffer *out)
{
    const char *const texts[] = {job->project, job->image,  job->backend, job->result,
                                 job->failure, job->reason, job->currency};
    size_t words[sizeof(texts) / sizeof(texts[0])];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (index_of(dictionary, texts[i], &words[i]) < 0) {
            return -1;
        }
    }
    double started_s = job->created_s + job->started_s;
    const double numbers[] = {
        (double)job->ended_at_s, (double)job->started_at_s, (double)job->job,
        (double)words[0],        (double)words[1],          (double)words[2],
        (double)words[3],        (double)words[4],          (double)words[5],
        job->start_s * 1000,     job->cost * 1e6,           job->placed_s * 1000,
        job->pulled_s * 1000,    started_s * 1000,          job->login_s * 1000,
        job->peak_bytes / MIB,   job->limit_bytes / MIB,    job->run_s * 1000,
        job->queued_s * 1000,    job->services_s * 1000,    (double)words[6],
    };
    return add_numbers(numbers, sizeof(numbers) / sizeof(numbers[0]), out);
}

static int add_recent(const struct history *history, struct buffer *out)
{
    for (size_t i = 0; i < history->count && i < REPORT_TIMELINE; i++) {
        struct history_job job;
        const struct history_job *found = &history->jobs[i];
        cJSON *root = history_job_parse(found->line, found->line_length, &job);
        bool failed = buffer_append_text(out, i == 0 ? "[" : ",\n[") < 0 ||
                      write_text(out, job.name) < 0 || buffer_append_text(out, ",") < 0 ||
                      write_text(out, job.ref) < 0 || buffer_append_text(out, ",") < 0 ||
                      write_text(out, job.url) < 0 || buffer_append_text(out, "]") < 0;
        cJSON_Delete(root);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

static int add_head(const struct history *history, const struct report_scope *scope,
                    struct buffer *out)
{
    if (buffer_printf(out, "{\"now\":%lld,\"since\":%lld,\"skipped\":%zu,\"currency\":",
                      (long long)scope->now_s, (long long)scope->since_s, history->skipped) < 0 ||
        write_text(out, scope->currency) < 0 || buffer_append_text(out, ",\"version\":") < 0) {
        return -1;
    }
    return write_text(out, scope->version);
}

static int join(struct buffer *out, const char *before, const struct buffer *part)
{
    return buffer_append_text(out, before) < 0 ||
                   (part->length > 0 && buffer_append(out, part->bytes, part->length) < 0)
               ? -1
               : 0;
}

int report_data(const struct history *history, const struct report_scope *scope, struct buffer *out)
{
    cleanup_buffer struct buffer texts;
    cleanup_buffer struct buffer rows;
    cleanup_buffer struct buffer recent;
    struct dictionary dictionary;
    buffer_init(&texts, out->ceiling_bytes);
    buffer_init(&rows, out->ceiling_bytes);
    buffer_init(&recent, out->ceiling_bytes);
    if (dictionary_open(&dictionary, history->count, &texts) < 0) {
        return -1;
    }
    int result = 0;
    for (size_t i = 0; i < history->count && result == 0; i++) {
        result = add_row(&history->jobs[i], &dictionary, &rows);
    }
    free(dictionary.words);
    if (result < 0 || add_recent(history, &recent) < 0 || add_head(history, scope, out) < 0 ||
        join(out, ",\"texts\":[", &texts) < 0 || join(out, "],\n\"jobs\":[", &rows) < 0 ||
        join(out, "],\n\"recent\":[", &recent) < 0) {
        return -1;
    }
    return buffer_append_text(out, "]}");
}
