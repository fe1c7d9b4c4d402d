/* SPDX-License-Identifier: MIT */
#include "driver/history/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/json.h"
#include "driver/history/store.h"

#define STAGES_MEMBER ",\"stages\":"
#define BLOCK_BYTES   (256UL << 10)
#define FIRST_SLOTS   1024
#define FIRST_JOBS    256
/* A line has at most half as many items as bytes, of 64 bytes each, and its texts. */
#define LINE_MEMORY_BYTES (4UL << 20)
#define PARSE_BYTES       (HISTORY_LINE_BYTES + 2)

/* Each text once: jobs share project, image, result. Open addressing; a power of two slots. */
struct history_texts {
    const char **slots;
    size_t slot_count, used;
    struct text_block *blocks;
};

struct text_block {
    struct text_block *next;
    size_t used, room;
    char bytes[];
};

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
    }
    return hash ^ (hash >> 29);
}

static const char **slot_of(const struct history_texts *texts, const char *text)
{
    size_t at = hash_of(text) & (texts->slot_count - 1);
    while (texts->slots[at] != NULL && strcmp(texts->slots[at], text) != 0) {
        at = (at + 1) & (texts->slot_count - 1);
    }
    return &texts->slots[at];
}

static int grow(struct history_texts *texts, size_t count)
{
    struct history_texts larger = {.slots = calloc(count, sizeof(char *)), .slot_count = count};
    if (larger.slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < texts->slot_count; i++) {
        if (texts->slots[i] != NULL) {
            *slot_of(&larger, texts->slots[i]) = texts->slots[i];
        }
    }
    free(texts->slots);
    texts->slots = larger.slots;
    texts->slot_count = count;
    return 0;
}

static const char *copy_text(struct history_texts *texts, const char *text)
{
    size_t bytes = strlen(text) + 1;
    struct text_block *block = texts->blocks;
    if (block == NULL || block->room - block->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = malloc(sizeof(*block) + room);
        if (block == NULL) {
            return NULL;
        }
        *block = (struct text_block){.next = texts->blocks, .room = room};
        texts->blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, text, bytes);
    block->used += bytes;
    return copy;
}

/* The shared copy; NULL: no memory. */
static const char *intern(struct history_texts *texts, const char *text)
{
    if (texts->used * 2 >= texts->slot_count && grow(texts, texts->slot_count * 2) < 0) {
        return NULL;
    }
    const char **slot = slot_of(texts, text);
    if (*slot == NULL) {
        *slot = copy_text(texts, text);
        texts->used++;
    }
    return *slot;
}

static void free_texts(struct history_texts *texts)
{
    while (texts != NULL && texts->blocks != NULL) {
        struct text_block *next = texts->blocks->next;
        free(texts->blocks);
        texts->blocks = next;
    }
    if (texts != NULL) {
        free(texts->slots);
    }
    free(texts);
}

static double number_of(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < 9e15
               ? item->valuedouble
               : 0;
}

static const struct member {
    const char *name;
    size_t offset;
} text_members[] = {
/* the first SHARED_COUNT are kept */
#define TEXT(member)                                  \
    {                                                 \
#member, offsetof(struct history_job, member) \
    }
    TEXT(key),    TEXT(project),  TEXT(backend), TEXT(image), TEXT(result), TEXT(failure),
    TEXT(reason), TEXT(currency), TEXT(name),    TEXT(ref),   TEXT(url),    TEXT(task),
#undef TEXT
};
#define TEXT_COUNT   (sizeof(text_members) / sizeof(text_members[0]))
#define SHARED_COUNT 8

static const struct member number_members[] = {
    {"start_seconds", offsetof(struct history_job, start_s)},
    {"run_seconds", offsetof(struct history_job, run_s)},
    {"cpu_seconds", offsetof(struct history_job, cpu_s)},
    {"peak_bytes", offsetof(struct history_job, peak_bytes)},
    {"limit_bytes", offsetof(struct history_job, limit_bytes)},
    {"output_bytes", offsetof(struct history_job, output_bytes)},
    {"oom_kills", offsetof(struct history_job, oom_kills)},
    {"vcpus", offsetof(struct history_job, vcpus)},
    {"memory_gib", offsetof(struct history_job, memory_gib)},
    {"cost", offsetof(struct history_job, cost)},
};

static const struct member start_members[] = {
    {"queued", offsetof(struct history_job, queued_s)},
    {"placed", offsetof(struct history_job, placed_s)},
    {"pulled", offsetof(struct history_job, pulled_s)},
    {"created", offsetof(struct history_job, created_s)},
    {"started", offsetof(struct history_job, started_s)},
    {"login", offsetof(struct history_job, login_s)},
    {"services", offsetof(struct history_job, services_s)},
};

static const struct member *find(const struct member *members, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].name[0] == name[0] && strcmp(members[i].name, name) == 0) {
            return &members[i];
        }
    }
    return NULL;
}

static void take_numbers(const struct member *members, size_t count, const cJSON *item,
                         struct history_job *job)
{
    const struct member *number = find(members, count, item->string);
    if (number != NULL) {
        void *field = (char *)job + number->offset;
        *(double *)field = number_of(item);
    }
}

static void take(const cJSON *item, struct history_job *job)
{
    const struct member *text = find(text_members, TEXT_COUNT, item->string);
    if (text != NULL && cJSON_IsString(item)) {
        *(const char **)((char *)job + text->offset) = item->valuestring;
    } else if (strcmp(item->string, "job") == 0) {
        job->job = (int64_t)number_of(item);
    } else if (strcmp(item->string, "started_at") == 0) {
        job->started_at_s = (int64_t)number_of(item);
    } else if (strcmp(item->string, "ended_at") == 0) {
        job->ended_at_s = (int64_t)number_of(item);
    } else if (strcmp(item->string, "exit_code") == 0) {
        job->exit_code = (int)number_of(item) & 255;
    } else if (strcmp(item->string, "spot") == 0) {
        job->spot = cJSON_IsTrue(item);
    } else if (strcmp(item->string, "start") == 0) {
        const cJSON *part;
        cJSON_ArrayForEach(part, item)
        {
            if (part->string != NULL) {
                take_numbers(start_members, sizeof(start_members) / sizeof(start_members[0]), part,
                             job);
            }
        }
    } else {
        take_numbers(number_members, sizeof(number_members) / sizeof(number_members[0]), item, job);
    }
}

/* The stages are the last member and most of a line. Inside a text a quote has a backslash, so the
 * name can only be found where the member begins. */
static cJSON *parse_short(const char *line, size_t length)
{
    char text[PARSE_BYTES];
    const char *stages = memmem(line, length, STAGES_MEMBER, sizeof(STAGES_MEMBER) - 1);
    if (length > HISTORY_LINE_BYTES || line[0] != '{' || line[length - 1] != '}') {
        return NULL;
    }
    size_t used = stages == NULL ? length - 1 : (size_t)(stages - line);
    memcpy(text, line, used);
    text[used] = '}';
    text[used + 1] = '\0';
    return cJSON_ParseWithLengthOpts(text, used + 2, NULL, 1);
}

cJSON *history_job_parse(const char *line, size_t length, struct history_job *out_job)
{
    cJSON *root = length < 2 ? NULL : parse_short(line, length);
    *out_job = (struct history_job){.line = line, .line_length = length};
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        *(const char **)((char *)out_job + text_members[i].offset) = "";
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        if (item->string != NULL) {
            take(item, out_job);
        }
    }
    if (out_job->key[0] == '\0' || out_job->result[0] == '\0' || out_job->backend[0] == '\0' ||
        out_job->ended_at_s == 0) {
        *out_job = (struct history_job){.line = line, .line_length = length};
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

static int keep(struct history *history, size_t *room, const struct history_job *job)
{
    if (history->count == *room) {
        size_t more = *room == 0 ? FIRST_JOBS : *room * 2;
        struct history_job *jobs = reallocarray(history->jobs, more, sizeof(*jobs));
        if (jobs == NULL || more > HISTORY_JOBS_MAX) {
            history->jobs = jobs == NULL ? history->jobs : jobs;
            return -1;
        }
        history->jobs = jobs;
        *room = more;
    }
    struct history_job *kept = &history->jobs[history->count];
    *kept = *job;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char **text = (const char **)((char *)kept + text_members[i].offset);
        *text = i < SHARED_COUNT ? intern(history->texts, *text) : "";
        if (*text == NULL) {
            return -1;
        }
    }
    history->count++;
    return 0;
}

static int by_end(const void *a, const void *b)
{
    const struct history_job *first = a;
    const struct history_job *second = b;
    if (first->ended_at_s != second->ended_at_s) {
        return first->ended_at_s > second->ended_at_s ? -1 : 1;
    }
    return first->line > second->line ? -1 : 1;
}

/* Keys are shared, so that they compare by address. True: it was seen before. */
static bool see(const char **seen, size_t slots, const char *key)
{
    size_t at = (((uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15ULL) >> 32) & (slots - 1);
    while (seen[at] != NULL && seen[at] != key) {
        at = (at + 1) & (slots - 1);
    }
    bool found = seen[at] != NULL;
    seen[at] = key;
    return found;
}

/* The lines come in the order in which they were written, which is that of the jobs' ends but for
 * a clock that was changed. */
static int sort(struct history *history)
{
    size_t slots = FIRST_SLOTS;
    size_t kept = 0;
    bool sorted = true;
    struct history_job *jobs = history->jobs;
    while (slots < history->count * 2) {
        slots *= 2;
    }
    const char **seen = calloc(slots, sizeof(*seen));
    if (seen == NULL) {
        return -1;
    }
    for (size_t i = 0; i < history->count / 2; i++) {
        struct history_job job = jobs[i];
        jobs[i] = jobs[history->count - 1 - i];
        jobs[history->count - 1 - i] = job;
    }
    for (size_t i = 0; i < history->count; i++) {
        if (!see(seen, slots, jobs[i].key)) {
            sorted = sorted && (kept == 0 || jobs[kept - 1].ended_at_s >= jobs[i].ended_at_s);
            jobs[kept++] = jobs[i];
        }
    }
    free(seen);
    history->count = kept;
    if (!sorted) {
        qsort(jobs, history->count, sizeof(*jobs), by_end);
    }
    return 0;
}

/* The memory of one parsed line, used again for the next. Without it the C library returns pages to
 * the kernel and takes them again for each of 100,000 lines, which was half of the time. */
static struct {
    char *bytes;
    size_t used;
} line_memory;

static void *line_malloc(size_t size)
{
    size_t needed = (size + 15) & ~(size_t)15;
    if (needed < size || needed > LINE_MEMORY_BYTES - line_memory.used) {
        return NULL; /* the line is skipped */
    }
    void *found = line_memory.bytes + line_memory.used;
    line_memory.used += needed;
    return found;
}

static void line_free(void *pointer)
{
    (void)pointer; /* all at once, by the next line */
}

static int take_each(struct history *history, int64_t since_s)
{
    const char *line = NULL;
    size_t length = 0;
    size_t at = 0;
    size_t room = 0;
    int result = 0;
    while (result == 0 && history_next_line(history->text, history->length, &at, &line, &length)) {
        struct history_job job;
        line_memory.used = 0;
        cJSON *root = history_job_parse(line, length, &job);
        result = root == NULL || job.ended_at_s < since_s ? 0 : keep(history, &room, &job);
        history->skipped += root == NULL ? 1 : 0;
        cJSON_Delete(root);
    }
    history->skipped += result == 0 && at < history->length ? 1 : 0;
    return result;
}

static int take_lines(struct history *history, int64_t since_s, struct error *err)
{
    cJSON_Hooks hooks = {.malloc_fn = line_malloc, .free_fn = line_free};
    line_memory.bytes = malloc(LINE_MEMORY_BYTES);
    int result = line_memory.bytes == NULL ? -1 : 0;
    if (result == 0) {
        cJSON_InitHooks(&hooks);
        result = take_each(history, since_s);
        cJSON_InitHooks(NULL);
    }
    free(line_memory.bytes);
    line_memory.bytes = NULL;
    if (result == 0) {
        result = sort(history);
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the history") : 0;
}

int history_load(struct history *history, const struct config *config, int64_t since_s,
                 struct error *err)
{
    struct history_store store;
    *history = (struct history){.texts = calloc(1, sizeof(*history->texts))};
    if (history->texts == NULL || grow(history->texts, FIRST_SLOTS) < 0) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the history");
    }
    int found = history_open(&store, config, false, history->path, sizeof(history->path), err);
    if (found == 1) {
        found = history_read_jobs(&store, &history->text, &history->length, err);
        history_close(&store);
    }
    return found <= 0 ? found : take_lines(history, since_s, err);
}

void history_done(struct history *history)
{
    free(history->jobs);
    free_texts(history->texts);
    free(history->text);
    *history = (struct history){0};
}

bool history_job_failed(const struct history_job *job)
{
    return strcmp(job->result, "success") != 0 && strcmp(job->result, "canceled") != 0;
}
