/* SPDX-License-Identifier: MIT */
#include "driver/config/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/parse.h"
#include "driver/base/pattern.h"

static const char *wanted(const struct schema_row *row)
{
    static const char *const texts[] = {
        [SCHEMA_TEXT] = "a string",
        [SCHEMA_CHOICE] = "a string",
        [SCHEMA_BOOL] = "true or false",
        [SCHEMA_TRISTATE] = "true or false",
        [SCHEMA_INTEGER] = "a whole number",
        [SCHEMA_NUMBER] = "a number that is not negative",
        [SCHEMA_DURATION] = "a duration such as \"30s\" or \"5m\", or a number of seconds",
        [SCHEMA_SIZE] = "a size such as \"512MiB\" or \"2G\", or a number of bytes",
        [SCHEMA_CPUS] = "a number of processors such as 2 or 1.5",
        [SCHEMA_LIST] = "a string or an array of strings",
        [SCHEMA_PATTERNS] = "a string or an array of strings",
        [SCHEMA_IMAGES] = "a string or an array of strings",
        [SCHEMA_LEVEL] = "one of \"debug\", \"info\", \"warn\", \"error\", \"fatal\"",
        [SCHEMA_FORMAT] = "\"text\" or \"json\"",
        [SCHEMA_SCHEDULE] = "a table such as { \"Mon-Fri 08:00-19:00 UTC\" = 4 }",
        [SCHEMA_IGNORED] = "anything",
    };
    _Static_assert(sizeof(texts) / sizeof(texts[0]) == SCHEMA_IGNORED + 1, "a text for each type");
    return texts[row->type];
}

static int wrong(const struct config_reading *reading, const struct schema_row *row,
                 const struct toml_value *value, const char *what)
{
    return error_set(reading->err, ERROR_USAGE, 0, "%s:%u: %s%s%s: %s", reading->path,
                     toml_line(value), row->section == NULL ? "" : row->section,
                     row->section == NULL ? "" : ".", row->name, what);
}

static int wrong_type(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value)
{
    char what[256];
    const char *text = NULL;
    int64_t whole = 0;
    double number = 0;
    if (toml_get_string(value, &text, NULL) && strlen(text) < 80) {
        (void)snprintf(what, sizeof(what), "wanted %s, found \"%s\"", wanted(row), text);
    } else if (toml_get_integer(value, &whole)) {
        (void)snprintf(what, sizeof(what), "wanted %s, found %lld", wanted(row), (long long)whole);
    } else if (toml_get_float(value, &number)) {
        (void)snprintf(what, sizeof(what), "wanted %s, found %g", wanted(row), number);
    } else {
        (void)snprintf(what, sizeof(what), "wanted %s, found %s", wanted(row),
                       toml_type_name(toml_type(value)));
    }
    return wrong(reading, row, value, what);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; at != NULL; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strcspn(at, "|") == length && strncmp(at, text, length) == 0) {
            return true;
        }
    }
    return false;
}

static int wrong_choice(const struct config_reading *reading, const struct schema_row *row,
                        const struct toml_value *value, const char *text)
{
    char what[256];
    size_t length = (size_t)snprintf(what, sizeof(what), "wanted ");
    for (const char *at = row->choices; *at != '\0'; at += at[0] == '|' ? 1 : 0) {
        int word = (int)strcspn(at, "|");
        length += (size_t)snprintf(what + length, sizeof(what) - length, "%s\"%.*s\"",
                                   at == row->choices ? "" : " or ", word, at);
        at += word;
    }
    (void)snprintf(what + length, sizeof(what) - length, ", found \"%.64s\"", text);
    return wrong(reading, row, value, what);
}

static int store_text(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value, void *field)
{
    char plain[64];
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(reading, row, value);
    }
    if (text[0] == '\0') { /* as if the key were not there */
        text = NULL;
        if (row->initial != NULL) {
            (void)snprintf(plain, sizeof(plain), "%.*s", (int)strlen(row->initial) - 2,
                           row->initial + 1);
            text = plain;
        }
    } else if (row->type == SCHEMA_CHOICE && !is_choice(row->choices, text)) {
        return wrong_choice(reading, row, value, text);
    }
    return config_set_text(field, text, reading->err);
}

static int store_in_range(const struct config_reading *reading, const struct schema_row *row,
                          const struct toml_value *value, int64_t number, const char *unit,
                          int64_t *field)
{
    if (number < row->minimum || number > row->maximum) {
        char what[128];
        char least[PARSE_TEXT_BYTES];
        char most[PARSE_TEXT_BYTES];
        schema_write_number(row, row->minimum, least);
        schema_write_number(row, row->maximum, most);
        if (row->maximum == INT64_MAX) {
            (void)snprintf(what, sizeof(what), "wanted at least %s%s", least, unit);
        } else {
            (void)snprintf(what, sizeof(what), "wanted a value from %s to %s%s", least, most, unit);
        }
        return wrong(reading, row, value, what);
    }
    *field = number;
    return 0;
}

static int store_number(const struct config_reading *reading, const struct schema_row *row,
                        const struct toml_value *value, int64_t *field)
{
    int64_t number = 0;
    const char *text = NULL;
    bool duration = row->type == SCHEMA_DURATION;
    bool size = row->type == SCHEMA_SIZE;
    if (toml_get_integer(value, &number)) {
        if (duration && (number < 0 || number > INT64_MAX / 1000)) {
            return wrong_type(reading, row, value);
        }
        number *= duration ? 1000 : 1;
    } else if ((!duration && !size) || !toml_get_string(value, &text, NULL) ||
               (duration ? parse_duration_ms(text, &number) : parse_size_bytes(text, &number)) <
                   0) {
        return wrong_type(reading, row, value);
    }
    return store_in_range(reading, row, value, number, "", field);
}

static int store_cpus(const struct config_reading *reading, const struct schema_row *row,
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
            return wrong_type(reading, row, value);
        }
    } else if (!toml_get_float(value, &cpus)) {
        return wrong_type(reading, row, value);
    }
    if (!(cpus >= 0.01 && cpus <= 65536)) {
        return wrong_type(reading, row, value);
    }
    *field = (int64_t)(cpus * 1e9 + 0.5);
    return 0;
}

static int store_real(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value, double *field)
{
    int64_t whole = 0;
    double number = 0;
    if (toml_get_integer(value, &whole)) {
        number = (double)whole;
    } else if (!toml_get_float(value, &number)) {
        return wrong_type(reading, row, value);
    }
    if (!(number >= 0 && number < 1e9)) { /* NaN is neither */
        return wrong_type(reading, row, value);
    }
    *field = number;
    return 0;
}

static int append_entry(const struct config_reading *reading, const struct schema_row *row,
                        const struct toml_value *value, struct config_list *list)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL) || text[0] == '\0') {
        return wrong_type(reading, row, value);
    }
    bool is_pattern = row->type == SCHEMA_PATTERNS || row->type == SCHEMA_IMAGES;
    char bad = is_pattern ? pattern_bad_character(text) : '\0';
    if (bad != '\0') {
        char what[256];
        (void)snprintf(what, sizeof(what), "'%c' in the pattern \"%.80s\" is not allowed", bad,
                       text);
        (void)wrong(reading, row, value, what);
        return error_hint(reading->err, "%s", PATTERN_HINT);
    }
    if (row->type == SCHEMA_IMAGES && pattern_matches_no_image(text)) {
        char what[512];
        (void)snprintf(what, sizeof(what),
                       "the pattern \"%.400s\" has capitals in the path of an "
                       "image and matches none",
                       text);
        config_note(reading, &reading->config->notes, value, row->section, row->name, what,
                    "write the path in lower case, as CI_REGISTRY_IMAGE is");
    }
    if (list->count == (size_t)row->maximum) {
        char what[64];
        (void)snprintf(what, sizeof(what), "more than %lld entries", (long long)row->maximum);
        return wrong(reading, row, value, what);
    }
    list->entries[list->count] = NULL;
    if (config_set_text(&list->entries[list->count], text, reading->err) < 0) {
        return -1;
    }
    list->count++;
    return 0;
}

static int store_list(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value, struct config_list *list)
{
    config_list_clear(list);
    list->named = true;
    if (toml_type(value) == TOML_STRING) {
        return append_entry(reading, row, value, list);
    }
    if (toml_type(value) != TOML_ARRAY) {
        return wrong_type(reading, row, value);
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (append_entry(reading, row, at, list) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_word(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value, void *field)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(reading, row, value);
    }
    bool is_level = row->type == SCHEMA_LEVEL;
    bool known = text[0] == '\0' /* as unset */ ||
                 (is_level ? log_level_parse(text, field) : log_format_parse(text, field));
    if (known) {
        return 0;
    }
    struct nearest nearest = is_level ? log_level_nearest(text) : log_format_nearest(text);
    char what[256];
    (void)snprintf(what, sizeof(what), "wanted %s, found \"%.64s\"", wanted(row), text);
    (void)wrong(reading, row, value, what);
    return nearest_hint(&nearest, reading->err);
}

static int store_bool(const struct config_reading *reading, const struct schema_row *row,
                      const struct toml_value *value, void *field)
{
    bool truth = false;
    if (!toml_get_bool(value, &truth)) {
        return wrong_type(reading, row, value);
    }
    if (row->type == SCHEMA_BOOL) {
        *(bool *)field = truth;
    } else {
        *(enum config_tristate *)field = truth ? CONFIG_YES : CONFIG_NO;
    }
    return 0;
}

static int store_schedule(const struct config_reading *reading, const struct schema_row *row,
                          const struct toml_value *value, struct schedule *schedule)
{
    if (toml_type(value) != TOML_TABLE) {
        return wrong_type(reading, row, value);
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        int64_t tasks = 0;
        if (!toml_get_integer(at, &tasks)) {
            return wrong_type(reading, row, at);
        }
        if (store_in_range(reading, row, at, tasks, " tasks", &tasks) < 0) {
            return -1;
        }
        if (schedule_add(schedule, toml_key(at), tasks, reading->err) < 0) {
            return error_wrap(reading->err, "%s:%u: %s.%s", reading->path, toml_line(at),
                              row->section, row->name);
        }
    }
    return 0;
}

/* One more note for config_each_note(): message and hint, each with its NUL. */
void config_note(const struct config_reading *reading, struct buffer *notes,
                 const struct toml_value *value, const char *section, const char *key,
                 const char *what, const char *hint)
{
    size_t before = notes->length;
    if (buffer_printf(notes, "%s:%u: %s%s%s: %s", reading->path, toml_line(value),
                      section == NULL ? "" : section, section == NULL ? "" : ".", key, what) < 0 ||
        buffer_append(notes, "", 1) < 0 || buffer_append_text(notes, hint) < 0 ||
        buffer_append(notes, "", 1) < 0) {
        notes->length = before; /* the ceiling: drop this note */
    }
}

int config_store(const struct config_reading *reading, const struct schema_row *row,
                 const struct toml_value *value)
{
    void *field = (char *)reading->base + row->offset;
    reading->config->lines[row - schema_rows] = toml_line(value);
    switch (row->type) {
    case SCHEMA_TEXT:
    case SCHEMA_CHOICE:
        return store_text(reading, row, value, field);
    case SCHEMA_BOOL:
    case SCHEMA_TRISTATE:
        return store_bool(reading, row, value, field);
    case SCHEMA_INTEGER:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return store_number(reading, row, value, field);
    case SCHEMA_NUMBER:
        return store_real(reading, row, value, field);
    case SCHEMA_CPUS:
        return store_cpus(reading, row, value, field);
    case SCHEMA_LIST:
    case SCHEMA_PATTERNS:
    case SCHEMA_IMAGES:
        return store_list(reading, row, value, field);
    case SCHEMA_LEVEL:
    case SCHEMA_FORMAT:
        return store_word(reading, row, value, field);
    case SCHEMA_SCHEDULE:
        return store_schedule(reading, row, value, field);
    case SCHEMA_IGNORED:
        config_note(reading, &reading->config->notes, value, row->section, toml_key(value),
                    row->unset, "remove the line");
        return 0;
    }
    return 0;
}
