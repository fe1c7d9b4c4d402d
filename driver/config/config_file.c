/* SPDX-License-Identifier: MIT */
#include "driver/config/config_file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/fd.h"
#include "common/nearest.h"
#include "driver/base/program.h"
#include "driver/config/store.h"
#include "driver/config/toml/toml.h"

/* Subnet and Subnets, or a key in two cases, are one setting: the later one wins. */
static void warn_if_set_twice(const struct config_reading *reading, const struct schema_row *row,
                              const struct toml_value *first, const struct toml_value *value)
{
    for (const struct toml_value *at = first; at != value; at = toml_next(at)) {
        const struct schema_row *other = schema_find(row->section, toml_key(at));
        if (other != NULL && other->type != SCHEMA_IGNORED && other->offset == row->offset) {
            char text[64];
            (void)snprintf(text, sizeof(text), "overrides the value in line %u", toml_line(at));
            config_note(reading, &reading->config->notes, value, row->section, toml_key(value),
                        text, "");
        }
    }
}

/* Where an unknown key belongs: "'Image' belongs in [Docker]". False: there is no such key. */
static bool write_place(const char *key, char *out, size_t room)
{
    int used = 0;
    for (size_t i = 0; i < schema_count && used < (int)room; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (strcasecmp(row->name, key) != 0) {
            continue;
        }
        used += used == 0 ? snprintf(out, room, "'%s' belongs ", row->name)
                          : snprintf(out + used, room - (size_t)used, " or ");
        if (used < (int)room) {
            used += row->section == NULL
                        ? snprintf(out + used, room - (size_t)used, "above the first table")
                        : snprintf(out + used, room - (size_t)used, "in [%s]", row->section);
        }
    }
    return used > 0;
}

/* [[NAME]] */
static bool is_tables(const struct toml_value *value)
{
    return toml_type(value) == TOML_ARRAY && toml_first(value) != NULL &&
           toml_type(toml_first(value)) == TOML_TABLE;
}

static void note_unknown(const struct config_reading *reading, const char *section,
                         const struct toml_value *value)
{
    const char *key = toml_key(value);
    char hint[128] = "";
    struct nearest nearest = nearest_begin(key);
    bool is_table = toml_type(value) == TOML_TABLE || is_tables(value);
    for (size_t i = 0; i < schema_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (!is_table && schema_same_section(row->section, section)) {
            nearest_try(&nearest, row->name);
        } else if (section == NULL && is_table && row->section != NULL) {
            nearest_try(&nearest, row->section);
        }
    }
    if ((is_table || !write_place(key, hint, sizeof(hint))) && nearest.best != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", nearest.best);
    }
    config_note(reading, &reading->config->unknown, value, section, key,
                is_table ? "unknown table, ignored" : "unknown key, ignored", hint);
    reading->config->unknown_at_root = reading->config->unknown_at_root || section == NULL;
}

/* 'first' is the table's first entry. */
static int store_entry(const struct config_reading *reading, const char *table,
                       const struct toml_value *first, const struct toml_value *value)
{
    const struct schema_row *row = schema_find(table, toml_key(value));
    if (row == NULL) {
        note_unknown(reading, table, value);
        return 0;
    }
    warn_if_set_twice(reading, row, first, value);
    return config_store(reading, row, value);
}

/* The table's name as rows spell it; NULL: there is none of that name. */
static const char *find_table(const char *name)
{
    for (size_t i = 0; i < schema_count; i++) {
        if (schema_rows[i].section != NULL && strcasecmp(schema_rows[i].section, name) == 0) {
            return schema_rows[i].section;
        }
    }
    return NULL;
}

static const struct schema_row *schema_of(const char *table)
{
    size_t i = 0;
    while (!schema_same_section(schema_rows[i].section, table)) {
        i++;
    }
    return &schema_rows[i];
}

static int store_entries(const struct config_reading *reading, const char *table,
                         const struct toml_value *value)
{
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (store_entry(reading, table, toml_first(value), at) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The defaults as a file would have them: of all tables, or the keys of one entry. */
static int write_defaults(struct buffer *text, bool of_entry, struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < schema_count && result == 0; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (schema_is_entry(row) != of_entry) {
            continue;
        }
        if (!of_entry && i > 0 && !schema_same_section(row->section, row[-1].section)) {
            result = buffer_printf(text, "[%s]\n", row->section);
        }
        if (result == 0 && row->initial != NULL) {
            result = buffer_printf(text, "%s = %s\n", row->name, row->initial);
        }
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot set the defaults") : 0;
}

static int set_entry_defaults(const struct config_reading *reading, const char *table,
                              struct config_warm *entry)
{
    struct buffer text;
    cleanup_toml struct toml_document *document = NULL;
    struct config_reading own = *reading;
    own.base = entry;
    buffer_init(&text, CONFIG_FILE_CEILING_BYTES);
    int result = write_defaults(&text, true, reading->err);
    if (result == 0) {
        result = toml_parse("defaults", text.bytes, text.length, &document, reading->err);
    }
    if (result == 0) {
        result = store_entries(&own, table, toml_root(document));
    }
    buffer_done(&text);
    return result;
}

/* An entry with the defaults of its rows. */
static struct config_warm *add_entry(const struct config_reading *reading, const char *table)
{
    struct config *config = reading->config;
    if (config->warm_count == CONFIG_WARM_CEILING) {
        (void)error_set(reading->err, ERROR_USAGE, 0, "%s: more than %d tables [[Warm]]",
                        reading->path, CONFIG_WARM_CEILING);
        return NULL;
    }
    struct config_warm *entries =
        reallocarray(config->warm, config->warm_count + 1, sizeof(*entries));
    if (entries == NULL) {
        (void)error_set(reading->err, ERROR_SYSTEM, ENOMEM, "cannot keep the configuration");
        return NULL;
    }
    config->warm = entries;
    struct config_warm *entry = &entries[config->warm_count++];
    *entry = (struct config_warm){.line = 0};
    return set_entry_defaults(reading, table, entry) < 0 ? NULL : entry;
}

/* [[TABLE]], each with an entry of its own. */
static int store_tables(const struct config_reading *reading, const char *table,
                        const struct toml_value *value)
{
    if (!is_tables(value)) {
        return error_set(reading->err, ERROR_USAGE, 0, "%s:%u: %s: wanted tables [[%s]], found %s",
                         reading->path, toml_line(value), table, table,
                         toml_type_name(toml_type(value)));
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        struct config_warm *entry = add_entry(reading, table);
        if (entry == NULL) {
            return -1;
        }
        entry->line = toml_line(at);
        struct config_reading own = *reading;
        own.base = entry;
        if (store_entries(&own, table, at) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_table(const struct config_reading *reading, const char *table,
                       const struct toml_value *value)
{
    if (schema_is_entry(schema_of(table))) {
        return store_tables(reading, table, value);
    }
    if (toml_type(value) != TOML_TABLE) {
        return error_set(reading->err, ERROR_USAGE, 0, "%s:%u: %s: wanted a table, found %s",
                         reading->path, toml_line(value), table, toml_type_name(toml_type(value)));
    }
    if (store_entries(reading, table, value) < 0) {
        return -1;
    }
    reading->config->fargate.named =
        reading->config->fargate.named || strcmp(table, "Fargate") == 0;
    return 0;
}

static int store_root(const struct config_reading *reading, const struct toml_value *root)
{
    for (const struct toml_value *at = toml_first(root); at != NULL; at = toml_next(at)) {
        const char *table = find_table(toml_key(at));
        int result = table != NULL ? store_table(reading, table, at)
                                   : store_entry(reading, NULL, toml_first(root), at);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

static int load_text(struct config *config, const char *path, const struct buffer *text,
                     struct error *err)
{
    cleanup_toml struct toml_document *document = NULL;
    struct config_reading reading = {.path = path, .config = config, .base = config, .err = err};
    if (toml_parse(path, text->bytes == NULL ? "" : text->bytes, text->length, &document, err) <
        0) {
        return -1;
    }
    return store_root(&reading, toml_root(document));
}

static int check_entries(const struct config *config, const char *path, struct error *err)
{
    for (size_t i = 0; i < config->warm_count; i++) {
        const struct config_warm *entry = &config->warm[i];
        int64_t most = schedule_most(&entry->schedule, entry->tasks);
        if ((entry->image == NULL) == (entry->task_definition == NULL)) {
            return error_set(err, ERROR_USAGE, 0, "%s:%u: [[Warm]] needs %s", path, entry->line,
                             entry->image == NULL ? "Image, or TaskDefinition for ecs"
                                                  : "either Image or TaskDefinition, not both");
        }
        if (most > config->warm_tasks_maximum) {
            (void)error_set(err, ERROR_USAGE, 0,
                            "%s:%u: [[Warm]] of '%s' wants %lld tasks, more than [WarmPool] "
                            "MaxTasks = %lld",
                            path, entry->line,
                            entry->image != NULL ? entry->image : entry->task_definition,
                            (long long)most, (long long)config->warm_tasks_maximum);
            return error_hint(err, "raise MaxTasks, or lower Tasks or Schedule");
        }
    }
    return 0;
}

int config_file_load(struct config *config, const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        err->kind = ERROR_USAGE; /* a retry by the runner would not find the file either */
        (void)error_wrap(err, "cannot read the configuration");
        if (err->errnum == ENOENT) {
            (void)error_hint(err, "'%s init %s' writes one", program_name(), path);
        }
    } else {
        result = load_text(config, path, &text, err);
    }
    buffer_done(&text);
    return result < 0 ? -1 : check_entries(config, path, err);
}

int config_defaults_load(struct config *config, struct error *err)
{
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_CEILING_BYTES);
    int result = write_defaults(&text, false, err);
    if (result == 0) {
        result = load_text(config, "defaults", &text, err);
    }
    buffer_done(&text);
    /* The user's file has none of these yet. */
    memset(config->lines, 0, sizeof(config->lines));
    config->fargate.named = false;
    return result;
}
