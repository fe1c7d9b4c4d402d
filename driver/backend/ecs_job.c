/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "driver/backend/ecs.h"
#include "driver/runner.h"

/* One number that a job variable may raise up to a maximum. */
struct size_row {
    const char *variable, *key, *maximum_key;
    int64_t own, minimum, maximum;
    int64_t unit_bytes; /* 0: not a size in bytes */
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for a task");
}

/* "4096" is in the row's own unit, "4G" is a size. */
static int parse_size(const struct size_row *row, const char *text, int64_t *out_number)
{
    int64_t bytes = 0;
    if (parse_integer(text, 0, INT64_MAX, out_number) == 0) {
        return 0;
    }
    if (row->unit_bytes == 0 || parse_size_bytes(text, &bytes) < 0) {
        return -1;
    }
    *out_number = bytes / row->unit_bytes;
    return 0;
}

static int choose_size(const struct size_row *row, int64_t *out_number, struct error *err)
{
    const char *text = runner_variable(row->variable);
    *out_number = row->own;
    if (text == NULL) {
        return 0;
    }
    if (row->maximum == 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is set, and this runner does not let jobs choose it; "
                         "its administrator can set [Fargate] %s",
                         row->variable, row->maximum_key);
    }
    int64_t number = 0;
    if (parse_size(row, text, &number) < 0 || number < row->minimum) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', wanted a number from %lld to %lld",
                         row->variable, text, (long long)row->minimum, (long long)row->maximum);
    }
    if (number > row->maximum) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', above this runner's [Fargate] %s = %lld",
                         row->variable, text, row->maximum_key, (long long)row->maximum);
    }
    *out_number = number;
    return 0;
}

static int add_cpu_and_memory(const struct config_fargate *fargate, cJSON *overrides,
                              struct error *err)
{
    const struct size_row rows[] = {
        {"FARGATE_CPU", "cpu", "MaxCpu", fargate->size.cpu_units, 256, fargate->maximum.cpu_units,
         0},
        {"FARGATE_MEMORY", "memory", "MaxMemory", fargate->size.memory_mib, 512,
         fargate->maximum.memory_mib, 1 << 20},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t number = 0;
        char text[24];
        if (choose_size(&rows[i], &number, err) < 0) {
            return -1;
        }
        (void)snprintf(text, sizeof(text), "%lld", (long long)number);
        if (number > 0 && cJSON_AddStringToObject(overrides, rows[i].key, text) == NULL) {
            return out_of_memory(err);
        }
    }
    return 0;
}

static int add_storage(const struct config_fargate *fargate, cJSON *overrides, struct error *err)
{
    const struct size_row row = {"FARGATE_EPHEMERAL_STORAGE",
                                 "ephemeralStorage",
                                 "MaxEphemeralStorage",
                                 fargate->size.storage_gib,
                                 21,
                                 fargate->maximum.storage_gib,
                                 1 << 30};
    int64_t number = 0;
    if (choose_size(&row, &number, err) < 0) {
        return -1;
    }
    if (number == 0) {
        return 0;
    }
    cJSON *storage = cJSON_AddObjectToObject(overrides, row.key);
    return storage == NULL || cJSON_AddNumberToObject(storage, "sizeInGiB", (double)number) == NULL
               ? out_of_memory(err)
               : 0;
}

static int add_role(const char *variable, const char *own, const struct config_list *allowed,
                    const char *list_name, const char *key, cJSON *overrides, struct error *err)
{
    const char *text = runner_variable(variable);
    if (text != NULL && (own == NULL || strcmp(text, own) != 0) &&
        !config_list_matches(allowed, text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', which [Fargate] %s does not allow", variable,
                         text, list_name);
    }
    const char *chosen = text != NULL ? text : own;
    return chosen == NULL || cJSON_AddStringToObject(overrides, key, chosen) != NULL
               ? 0
               : out_of_memory(err);
}

int ecs_job_add_overrides(const struct config *config, cJSON *overrides, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    if (add_cpu_and_memory(fargate, overrides, err) < 0 ||
        add_storage(fargate, overrides, err) < 0 ||
        add_role("FARGATE_TASK_ROLE", fargate->task_role, &fargate->allowed_task_roles,
                 "AllowedTaskRoles", "taskRoleArn", overrides, err) < 0) {
        return -1;
    }
    return add_role("FARGATE_EXECUTION_ROLE", fargate->execution_role,
                    &fargate->allowed_execution_roles, "AllowedExecutionRoles", "executionRoleArn",
                    overrides, err);
}

/* What a tag may hold besides letters and digits; the rest becomes '_', bytes of UTF-8 included,
 * since a text cut in the middle of a character would be refused. */
static bool tag_byte(char byte)
{
    return isalnum((unsigned char)byte) || strchr(" _.:/=+-@", byte) != NULL;
}

/* Length of "$NAME" or "${NAME}" at 'at', with the name; 0: it is neither. */
static size_t reference(const char *at, char name[64])
{
    bool braces = at[1] == '{';
    const char *start = at + (braces ? 2 : 1);
    size_t length = 0;
    while (length < 63 && (isalnum((unsigned char)start[length]) || start[length] == '_')) {
        name[length] = start[length];
        length++;
    }
    name[length] = '\0';
    if (length == 0 || (braces && start[length] != '}')) {
        return 0;
    }
    return length + (braces ? 3 : 1);
}

/* The template with job variables in place, cut off at what a tag may hold. */
static void expand(const char *template, char *out, size_t room)
{
    size_t length = 0;
    char name[64];
    for (const char *at = template; *at != '\0' && length + 1 < room;) {
        size_t skip = *at == '$' ? reference(at, name) : 0;
        const char *value = skip > 0 ? runner_variable(name) : NULL;
        if (skip == 0) {
            out[length++] = tag_byte(*at) ? *at : '_';
            at++;
            continue;
        }
        for (; value != NULL && *value != '\0' && length + 1 < room; value++) {
            out[length++] = tag_byte(*value) ? *value : '_';
        }
        at += skip;
    }
    out[length] = '\0';
}

static int add_tag(cJSON *tags, const char *entry, struct error *err)
{
    char key[ECS_TAG_KEY_BYTES];
    char value[ECS_TAG_VALUE_BYTES];
    const char *equals = strchr(entry, '=');
    size_t length = equals == NULL ? 0 : (size_t)(equals - entry);
    if (length == 0 || length >= sizeof(key) || strncasecmp(entry, "aws:", 4) == 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Fargate] Tags: '%s' is no KEY=VALUE with a key of up to %d characters "
                         "that does not begin with 'aws:'",
                         entry, ECS_TAG_KEY_BYTES - 1);
    }
    memcpy(key, entry, length);
    key[length] = '\0';
    expand(equals + 1, value, sizeof(value));
    cJSON *tag = cJSON_CreateObject();
    if (tag == NULL || cJSON_AddStringToObject(tag, "key", key) == NULL ||
        cJSON_AddStringToObject(tag, "value", value) == NULL || !cJSON_AddItemToArray(tags, tag)) {
        cJSON_Delete(tag);
        return out_of_memory(err);
    }
    return 0;
}

int ecs_job_add_tags(const struct config *config, cJSON *request, struct error *err)
{
    const struct config_list *list = &config->fargate.tags;
    if (list->count == 0) {
        return 0;
    }
    cJSON *tags = cJSON_AddArrayToObject(request, "tags");
    if (tags == NULL) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (add_tag(tags, list->entries[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}
