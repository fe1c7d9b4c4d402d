/* SPDX-License-Identifier: MIT */
#include "driver/backend/job_variables.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/base/json.h"
#include "driver/runner/runner.h"

#define NAME_BYTES 256

/* The last one of that name is used, as in the runner. */
static const cJSON *find(const cJSON *list, const char *name)
{
    const cJSON *variable = NULL, *found = NULL;
    cJSON_ArrayForEach(variable, list)
    {
        const char *key = json_text_at(variable, "key");
        found = key != NULL && strcmp(key, name) == 0 ? variable : found;
    }
    return found;
}

static int append_value(const struct job_variables *variables, const char *name, struct buffer *out)
{
    if (strcmp(name, "$") == 0) {
        return buffer_append(out, name, 1);
    }
    if (strchr("*#@!?0123456789", name[0]) != NULL && name[1] == '\0') {
        return 0;
    }
    const cJSON *own = find(variables->own, name);
    const cJSON *variable =
        own != NULL ? own : find(json_at(variables->response, "variables"), name);
    if (json_true_at(variable, "file")) { /* its value is the file's content, which may be secret */
        const char *directory = runner_variable("RUNNER_TEMP_PROJECT_DIR");
        return directory == NULL ? buffer_append_text(out, name)
                                 : buffer_printf(out, "%s/%s", directory, name);
    }
    const char *value = own != NULL ? json_text_at(own, "value") : runner_variable(name);
    return value == NULL ? 0 : buffer_append_text(out, value);
}

/* The length of the name after a '$' and what is skipped with it. Go's getShellName(): a name of
 * length 0 that skips something is bad syntax and vanishes, one that skips nothing leaves the '$'.
 */
static size_t name_after(const char *at, const char **out_name, size_t *out_skip)
{
    static const char special[] = "*#$@!?-0123456789";
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    if (at[0] == '{') {
        size_t length = strcspn(at + 1, "}");
        bool closed = at[1 + length] == '}';
        *out_name = at + 1;
        *out_skip = closed ? length + 2 : 1;
        return closed ? length : 0;
    }
    *out_name = at;
    *out_skip = at[0] != '\0' && strchr(special, at[0]) != NULL ? 1 : strspn(at, plain);
    return *out_skip;
}

static int expand(const struct job_variables *variables, const char *text, struct buffer *out)
{
    while (*text != '\0') {
        size_t literal = strcspn(text, "$");
        if (literal > 0 || text[1] == '\0') {
            literal = literal > 0 ? literal : 1;
            if (buffer_append(out, text, literal) < 0) {
                return -1;
            }
            text += literal;
            continue;
        }
        char name[NAME_BYTES] = "";
        const char *start = NULL;
        size_t skip = 0;
        size_t length = name_after(text + 1, &start, &skip);
        if (length > 0 && length < sizeof(name)) {
            memcpy(name, start, length);
            name[length] = '\0';
        }
        if ((skip == 0 && buffer_append(out, text, 1) < 0) ||
            (name[0] != '\0' && append_value(variables, name, out) < 0)) {
            return -1;
        }
        text += 1 + skip;
    }
    return buffer_append(out, "", 0); /* an empty text, too */
}

char *job_variables_expand(const struct job_variables *variables, const char *text,
                           struct error *err)
{
    struct buffer out;
    buffer_init(&out, JOB_EXPANDED_CEILING_BYTES);
    char *copy = NULL;
    if (expand(variables, text, &out) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.80s' has more than %lu bytes once expanded", text,
                        JOB_EXPANDED_CEILING_BYTES);
    } else {
        copy = strdup(out.bytes);
        if (copy == NULL) {
            (void)error_set(err, ERROR_SYSTEM, errno, "cannot expand variables");
        }
    }
    buffer_done(&out);
    return copy;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

const char *job_variables_masked(const cJSON *response, const char *raw, const char *text)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(response, "variables"))
    {
        const char *key = json_text_at(variable, "key");
        bool masked = key != NULL && json_true_at(variable, "masked") &&
                      !json_true_at(variable, "file"); /* which expands to its path */
        const char *value = masked ? runner_variable(key) : NULL;
        if (value != NULL && strlen(value) >= JOB_MASKED_LEAST &&
            count_of(text, value) > count_of(raw, value)) {
            return key;
        }
    }
    return NULL;
}

void job_variables_public(const cJSON *response, cJSON *list, bool *ok)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(response, "variables"))
    {
        const char *key = json_text_at(variable, "key");
        bool usable = key != NULL && json_true_at(variable, "public") &&
                      !json_true_at(variable, "masked") && !json_true_at(variable, "file");
        const char *value = usable ? runner_variable(key) : NULL;
        if (value != NULL) {
            job_variables_set(list, key, value, ok);
        }
    }
}

void job_variables_set(cJSON *list, const char *name, const char *value, bool *ok)
{
    size_t length = strlen(name);
    for (int i = cJSON_GetArraySize(list) - 1; i >= 0; i--) {
        const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(list, i));
        if (text != NULL && strncmp(text, name, length) == 0 && text[length] == '=') {
            cJSON_DeleteItemFromArray(list, i);
        }
    }
    json_append_format(list, ok, "%s=%s", name, value);
}

uint16_t job_variables_health_port(const cJSON *list, const char *service)
{
    static const char name[] = "HEALTHCHECK_TCP_PORT";
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, list)
    {
        const char *text = cJSON_GetStringValue(variable);
        const char *value = text == NULL ? NULL : strchr(text, '=');
        int64_t port = 0;
        if (value == NULL || (size_t)(value - text) != strlen(name) ||
            strncasecmp(text, name, strlen(name)) != 0) {
            continue;
        }
        value++;
        if (parse_integer(value, 1, UINT16_MAX, &port) < 0) {
            log_warn("service '%s': ignoring its variable %s: '%s' is not a port from 1 to 65535",
                     service, name, value);
        }
        return (uint16_t)port;
    }
    return 0;
}
