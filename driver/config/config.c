/* SPDX-License-Identifier: MIT */
#include "driver/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/pattern.h"
#include "driver/config/schema.h"

int config_set_text(char **field, const char *text, struct error *err)
{
    char *copy = text == NULL ? NULL : strdup(text);
    if (text != NULL && copy == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot keep the configuration");
    }
    free(*field);
    *field = copy;
    return 0;
}

void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->entries[i]);
    }
    *list = (struct config_list){0};
}

bool config_list_matches(const struct config_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (pattern_matches(list->entries[i], text)) {
            return true;
        }
    }
    return false;
}

/* 'base': the struct config, or an entry of its array. */
static void free_fields(void *base, bool of_entry)
{
    for (size_t i = 0; i < schema_count; i++) {
        void *field = (char *)base + schema_rows[i].offset;
        if (schema_is_entry(&schema_rows[i]) != of_entry) {
            continue;
        }
        switch (schema_rows[i].type) {
        case SCHEMA_TEXT:
        case SCHEMA_CHOICE:
            free(*(char **)field);
            *(char **)field = NULL;
            break;
        case SCHEMA_LIST:
        case SCHEMA_PATTERNS:
        case SCHEMA_IMAGES:
            config_list_clear(field);
            break;
        case SCHEMA_SCHEDULE:
            schedule_done(field);
            break;
        default:
            break; /* nothing allocated */
        }
    }
}

void config_done(struct config *config)
{
    buffer_done(&config->unknown);
    buffer_done(&config->notes);
    for (size_t i = 0; i < config->warm_count; i++) {
        free_fields(&config->warm[i], true);
    }
    free(config->warm);
    config->warm = NULL;
    config->warm_count = 0;
    free_fields(config, false);
    free(config->path);
    free(config->docker.workdir);
    config->path = config->docker.workdir = NULL;
}

static int describe_list(const struct config_list *list, struct buffer *out)
{
    int result = buffer_printf(out, " %zu", list->count);
    for (size_t i = 0; result == 0 && i < list->count; i++) {
        result = buffer_printf(out, " %zu:%s", strlen(list->entries[i]), list->entries[i]);
    }
    return result;
}

static int describe_value(const struct schema_row *row, const void *field, struct buffer *out)
{
    switch (row->type) {
    case SCHEMA_TEXT:
    case SCHEMA_CHOICE:
        return *(char *const *)field == NULL ? 0 : buffer_printf(out, " %s", *(char *const *)field);
    case SCHEMA_BOOL:
        return buffer_printf(out, " %d", *(const bool *)field);
    case SCHEMA_TRISTATE:
        return buffer_printf(out, " %d", *(const enum config_tristate *)field);
    case SCHEMA_INTEGER:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_CPUS:
        return buffer_printf(out, " %lld", (long long)*(const int64_t *)field);
    case SCHEMA_NUMBER:
        return buffer_printf(out, " %a", *(const double *)field);
    case SCHEMA_LIST:
    case SCHEMA_PATTERNS:
    case SCHEMA_IMAGES:
        return describe_list(field, out);
    case SCHEMA_LEVEL:
    case SCHEMA_FORMAT:
    case SCHEMA_SCHEDULE:
    case SCHEMA_IGNORED:
        return 0; /* not about tasks */
    }
    return 0;
}

static bool is_excepted(const char *const except[], const char *name)
{
    for (size_t i = 0; except[i] != NULL; i++) {
        if (strcmp(except[i], name) == 0) {
            return true;
        }
    }
    return false;
}

int config_describe(const struct config *config, const char *section, const char *const except[],
                    struct buffer *out, struct error *err)
{
    for (size_t i = 0; i < schema_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (!schema_same_section(row->section, section) || is_excepted(except, row->name)) {
            continue;
        }
        if (buffer_printf(out, "%s.%s", section, row->name) < 0 ||
            describe_value(row, (const char *)config + row->offset, out) < 0 ||
            buffer_append_text(out, "\n") < 0) {
            return error_set(err, ERROR_LIMIT, 0, "the settings of [%s] are too long", section);
        }
    }
    return 0;
}

const char *config_place(const struct config *config, const void *field, const char *otherwise,
                         char out[CONFIG_PLACE_BYTES])
{
    size_t offset = (size_t)((const char *)field - (const char *)config);
    for (size_t i = 0; i < schema_count; i++) { /* two names may fill one field */
        const struct schema_row *row = &schema_rows[i];
        if (row->type != SCHEMA_IGNORED && !schema_is_entry(row) && row->offset == offset &&
            config->lines[i] > 0) {
            (void)snprintf(out, CONFIG_PLACE_BYTES, "%s:%u: %s%s%s", config->path, config->lines[i],
                           row->section == NULL ? "" : row->section,
                           row->section == NULL ? "" : ".", row->name);
            return out;
        }
    }
    return otherwise;
}

void config_each_note(const struct buffer *notes,
                      void (*visit)(void *context, const struct error *note), void *context)
{
    struct error note;
    const char *end = notes->bytes == NULL ? NULL : notes->bytes + notes->length;
    for (const char *at = notes->bytes; at != end; at += strlen(at) + 1) {
        (void)error_set(&note, ERROR_USAGE, 0, "%s", at);
        at += strlen(at) + 1;
        (void)error_hint(&note, "%s", at);
        visit(context, &note);
    }
}

static void log_note(void *context, const struct error *note)
{
    char text[ERROR_TEXT_BYTES];
    (void)context;
    log_warn("%s", error_text(note, text));
}

void config_log_warnings(const struct config *config)
{
    config_each_note(&config->unknown, log_note, NULL);
    config_each_note(&config->notes, log_note, NULL);
}
