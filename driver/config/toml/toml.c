/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/toml.h"

#include <string.h>

#include "driver/config/toml/tree.h"

enum toml_type toml_type(const struct toml_value *value)
{
    return value->type;
}

const char *toml_type_name(enum toml_type type)
{
    static const char *const names[] = {
        [TOML_TABLE] = "a table",
        [TOML_ARRAY] = "an array",
        [TOML_STRING] = "a string",
        [TOML_INTEGER] = "an integer",
        [TOML_FLOAT] = "a float",
        [TOML_BOOL] = "a boolean",
        [TOML_OFFSET_DATETIME] = "a date-time",
        [TOML_LOCAL_DATETIME] = "a local date-time",
        [TOML_LOCAL_DATE] = "a local date",
        [TOML_LOCAL_TIME] = "a local time",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == TOML_LOCAL_TIME + 1, "a name per type");
    return names[type];
}

unsigned toml_line(const struct toml_value *value)
{
    return value->line;
}

static bool is_container(const struct toml_value *value)
{
    return value->type == TOML_TABLE || value->type == TOML_ARRAY;
}

const struct toml_value *toml_first(const struct toml_value *container)
{
    return is_container(container) ? container->children.first : NULL;
}

const struct toml_value *toml_next(const struct toml_value *value)
{
    return value->next;
}

const char *toml_key(const struct toml_value *value)
{
    return value->key.bytes;
}

bool toml_get_string(const struct toml_value *value, const char **out_text, size_t *out_length)
{
    if (value->type != TOML_STRING) {
        return false;
    }
    if (out_length == NULL && memchr(value->text.bytes, '\0', value->text.length) != NULL) {
        return false;
    }
    *out_text = value->text.bytes;
    if (out_length != NULL) {
        *out_length = value->text.length;
    }
    return true;
}

bool toml_get_integer(const struct toml_value *value, int64_t *out_integer)
{
    if (value->type != TOML_INTEGER) {
        return false;
    }
    *out_integer = value->integer;
    return true;
}

bool toml_get_float(const struct toml_value *value, double *out_number)
{
    if (value->type != TOML_FLOAT) {
        return false;
    }
    *out_number = value->number;
    return true;
}

bool toml_get_bool(const struct toml_value *value, bool *out_truth)
{
    if (value->type != TOML_BOOL) {
        return false;
    }
    *out_truth = value->truth;
    return true;
}

bool toml_get_datetime(const struct toml_value *value, struct toml_datetime *out_datetime)
{
    if (value->type < TOML_OFFSET_DATETIME) {
        return false;
    }
    *out_datetime = value->datetime;
    return true;
}
