/* SPDX-License-Identifier: MIT */
#include "driver/config_file.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/fd.h"
#include "common/parse.h"
#include "driver/config_keys.h"
#include "driver/toml.h"

/* One file on its way into one config. */
struct load {
    const char *path;
    struct config *config;
    struct buffer *warnings;
    struct error *err;
};

static const char *wanted(const struct key_row *row)
{
    static const char *const texts[] = {
        [KEY_TEXT] = "a string",
        [KEY_BOOL] = "true or false",
        [KEY_TRISTATE] = "true or false",
        [KEY_INTEGER] = "a whole number",
        [KEY_NUMBER] = "a number that is not negative",
        [KEY_DURATION] = "a duration such as \"30s\" or \"5m\", or a number of seconds",
        [KEY_SIZE] = "a size such as \"512MiB\" or \"2G\", or a number of bytes",
        [KEY_CPUS] = "a number of processors such as 2 or 1.5",
        [KEY_LIST] = "a string or an array of strings",
        [KEY_LEVEL] = "one of \"debug\", \"info\", \"warn\", \"error\", \"fatal\"",
        [KEY_FORMAT] = "\"text\" or \"json\"",
        [KEY_IGNORED] = "anything",
    };
    return texts[row->type];
}

static const char *prefix(const struct key_row *row)
{
    return row->table == NULL ? "" : row->table;
}

static int wrong(const struct load *load, const struct key_row *row, const struct toml_value *value,
                 const char *what)
{
    return error_set(load->err, ERROR_USAGE, 0, "%s:%u: %s%s%s: %s", load->path, toml_line(value),
                     prefix(row), row->table == NULL ? "" : ".", row->name, what);
}

static int wrong_type(const struct load *load, const struct key_row *row,
                      const struct toml_value *value)
{
    char what[256];
    const char *text = NULL;
    if (toml_get_string(value, &text, NULL) && strlen(text) < 80) {
        (void)snprintf(what, sizeof(what), "wanted %s, found \"%s\"", wanted(row), text);
    } else {
        (void)snprintf(what, sizeof(what), "wanted %s, found %s", wanted(row),
                       toml_type_name(toml_type(value)));
    }
    return wrong(load, row, value, what);
}

static int store_text(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(load, row, value);
    }
    /* An empty text is how people switch a key off. */
    return config_set_text(field, text[0] == '\0' ? NULL : text, load->err);
}

static int store_in_range(const struct load *load, const struct key_row *row,
                          const struct toml_value *value, int64_t number, const char *unit,
                          int64_t *field)
{
    if (number < row->minimum || number > row->maximum) {
        char what[128];
        (void)snprintf(what, sizeof(what), "wanted a value from %lld to %lld%s",
                       (long long)row->minimum, (long long)row->maximum, unit);
        return wrong(load, row, value, what);
    }
    *field = number;
    return 0;
}

static int store_number(const struct load *load, const struct key_row *row,
                        const struct toml_value *value, int64_t *field)
{
    int64_t number = 0;
    const char *text = NULL;
    bool duration = row->type == KEY_DURATION;
    bool size = row->type == KEY_SIZE;
    if (toml_get_integer(value, &number)) {
        if (duration && (number < 0 || number > INT64_MAX / 1000)) {
            return wrong_type(load, row, value);
        }
        number *= duration ? 1000 : 1;
    } else if ((!duration && !size) || !toml_get_string(value, &text, NULL) ||
               (duration ? parse_duration_ms(text, &number) : parse_size_bytes(text, &number)) <
                   0) {
        return wrong_type(load, row, value);
    }
    return store_in_range(load, row, value, number, duration ? " ms" : size ? " bytes" : "", field);
}

static int store_cpus(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, int64_t *field)
{
    double cpus = 0;
    int64_t whole = 0;
    const char *text = NULL;
    char *end = NULL;
    if (toml_get_integer(value, &whole)) {
        cpus = (double)whole;
    } else if (toml_get_string(value, &text, NULL)) {
        cpus = strtod(text, &end);
        if (end == text || *end != '\0') {
            return wrong_type(load, row, value);
        }
    } else if (!toml_get_float(value, &cpus)) {
        return wrong_type(load, row, value);
    }
    if (!(cpus >= 0.01 && cpus <= 65536)) {
        return wrong_type(load, row, value);
    }
    *field = (int64_t)(cpus * 1e9 + 0.5);
    return 0;
}

static int store_real(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, double *field)
{
    int64_t whole = 0;
    double number = 0;
    if (toml_get_integer(value, &whole)) {
        number = (double)whole;
    } else if (!toml_get_float(value, &number)) {
        return wrong_type(load, row, value);
    }
    if (!(number >= 0 && number < 1e9)) { /* NaN is neither */
        return wrong_type(load, row, value);
    }
    *field = number;
    return 0;
}

static int append_entry(const struct load *load, const struct key_row *row,
                        const struct toml_value *value, struct config_list *list)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL) || text[0] == '\0') {
        return wrong_type(load, row, value);
    }
    if (list->count == (size_t)row->maximum) {
        char what[64];
        (void)snprintf(what, sizeof(what), "more than %lld entries", (long long)row->maximum);
        return wrong(load, row, value, what);
    }
    list->entries[list->count] = NULL;
    if (config_set_text(&list->entries[list->count], text, load->err) < 0) {
        return -1;
    }
    list->count++;
    return 0;
}

static int store_list(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, struct config_list *list)
{
    config_list_clear(list);
    list->named = true;
    if (toml_type(value) == TOML_STRING) {
        return append_entry(load, row, value, list);
    }
    if (toml_type(value) != TOML_ARRAY) {
        return wrong_type(load, row, value);
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (append_entry(load, row, at, list) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_word(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(load, row, value);
    }
    bool known =
        text[0] == '\0' /* as unset */ ||
        (row->type == KEY_LEVEL ? log_level_parse(text, field) : log_format_parse(text, field));
    return known ? 0 : wrong_type(load, row, value);
}

static int store_bool(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    bool truth = false;
    if (!toml_get_bool(value, &truth)) {
        return wrong_type(load, row, value);
    }
    if (row->type == KEY_BOOL) {
        *(bool *)field = truth;
    } else {
        *(enum config_tristate *)field = truth ? CONFIG_YES : CONFIG_NO;
    }
    return 0;
}

static void warn(const struct load *load, const struct toml_value *value, const char *table,
                 const char *name, const char *why)
{
    if (buffer_printf(load->warnings, "%s:%u: %s%s%s: %s\n", load->path, toml_line(value),
                      table == NULL ? "" : table, table == NULL ? "" : ".", name, why) < 0) {
        return; /* the ceiling: whoever has that many warnings has enough of them */
    }
}

static int store(const struct load *load, const struct key_row *row, const struct toml_value *value)
{
    void *field = (char *)load->config + row->offset;
    switch (row->type) {
    case KEY_TEXT:
        return store_text(load, row, value, field);
    case KEY_BOOL:
    case KEY_TRISTATE:
        return store_bool(load, row, value, field);
    case KEY_INTEGER:
    case KEY_DURATION:
    case KEY_SIZE:
        return store_number(load, row, value, field);
    case KEY_NUMBER:
        return store_real(load, row, value, field);
    case KEY_CPUS:
        return store_cpus(load, row, value, field);
    case KEY_LIST:
        return store_list(load, row, value, field);
    case KEY_LEVEL:
    case KEY_FORMAT:
        return store_word(load, row, value, field);
    case KEY_IGNORED:
        warn(load, value, row->table, row->name, row->why);
        return 0;
    }
    return 0;
}

static bool same_table(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static const struct key_row *find_row(const char *table, const char *key)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (same_table(config_keys[i].table, table) && strcasecmp(config_keys[i].name, key) == 0) {
            return &config_keys[i];
        }
    }
    return NULL;
}

/* Subnet and Subnets, or a key in two cases, are one setting: the later one counts. */
static void warn_if_said_twice(const struct load *load, const struct key_row *row,
                               const struct toml_value *first, const struct toml_value *value)
{
    for (const struct toml_value *at = first; at != value; at = toml_next(at)) {
        const struct key_row *other = find_row(row->table, toml_key(at));
        if (other != NULL && other->type != KEY_IGNORED && other->offset == row->offset) {
            char text[64];
            (void)snprintf(text, sizeof(text), "counts instead of what line %u says",
                           toml_line(at));
            warn(load, value, row->table, toml_key(value), text);
        }
    }
}

/* 'first' is the table's first entry. */
static int store_entry(const struct load *load, const char *table, const struct toml_value *first,
                       const struct toml_value *value)
{
    const struct key_row *row = find_row(table, toml_key(value));
    if (row == NULL) {
        warn(load, value, table, toml_key(value), "unknown key, ignored");
        return 0;
    }
    warn_if_said_twice(load, row, first, value);
    return store(load, row, value);
}

/* The table's name as rows spell it, NULL when there is none of that name. */
static const char *find_table(const char *name)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_keys[i].table != NULL && strcasecmp(config_keys[i].table, name) == 0) {
            return config_keys[i].table;
        }
    }
    return NULL;
}

static int store_table(const struct load *load, const char *table, const struct toml_value *value)
{
    if (toml_type(value) != TOML_TABLE) {
        return error_set(load->err, ERROR_USAGE, 0, "%s:%u: %s: wanted a table, found %s",
                         load->path, toml_line(value), table, toml_type_name(toml_type(value)));
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (store_entry(load, table, toml_first(value), at) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_root(const struct load *load, const struct toml_value *root)
{
    for (const struct toml_value *at = toml_first(root); at != NULL; at = toml_next(at)) {
        const char *table = find_table(toml_key(at));
        int result = table != NULL ? store_table(load, table, at)
                                   : store_entry(load, NULL, toml_first(root), at);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

int config_file_load(struct config *config, const char *path, struct buffer *warnings,
                     struct error *err)
{
    cleanup_toml struct toml_document *document = NULL;
    struct load load = {.path = path, .config = config, .warnings = warnings, .err = err};
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        err->kind = ERROR_USAGE; /* no retry of the runner makes the file appear */
        (void)error_wrap(err, "cannot read the configuration");
    } else {
        result =
            toml_parse(path, text.bytes == NULL ? "" : text.bytes, text.length, &document, err);
    }
    buffer_done(&text);
    return result < 0 ? -1 : store_root(&load, toml_root(document));
}
