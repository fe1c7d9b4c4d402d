/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/parse.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/generated.h"
#include "driver/backend/idle_timeout.h"
#include "driver/base/json.h"
#include "driver/runner/runner.h"

#define AGENT_CONNECT_MS (10 * 60 * 1000) /* the agent's default of --connect-timeout */
#define DETACH_SPARE_MS  60000            /* the driver gives up before the agent */

/* A number that a job variable may set up to a maximum. */
struct size_row {
    const char *variable, *key, *maximum_key;
    int64_t own, minimum, maximum;
    int64_t unit_bytes; /* 0: not a size in bytes */
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the RunTask request");
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
        return error_set(
            err, ERROR_USAGE, 0,
            "the job variable %s is not allowed on this runner; its administrator can set "
            "[Fargate] %s",
            row->variable, row->maximum_key);
    }
    int64_t number = 0;
    if (parse_size(row, text, &number) < 0 || number < row->minimum) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', not a number from %lld to %lld",
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

/* cpu, memory, ephemeralStorage and roles; an error of kind ERROR_USAGE for what a job may not
 * choose. */
static int add_sizes_and_roles(const struct config *config, cJSON *overrides, struct error *err)
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

/* Whether a tag may contain the byte. Others become '_', those of UTF-8 too: ECS would refuse a
 * text that is cut in the middle of a character. */
static bool tag_byte(char byte)
{
    return isalnum((unsigned char)byte) || strchr(" _.:/=+-@", byte) != NULL;
}

/* Length of "$NAME" or "${NAME}" at 'at', with the name; 0: neither. */
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

/* Replaces job variables in the template and cuts the result to the length of a tag. */
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

static int add_tag(const struct config *config, cJSON *tags, const char *entry, struct error *err)
{
    char key[ECS_TAG_KEY_BYTES];
    char value[ECS_TAG_VALUE_BYTES];
    const char *equals = strchr(entry, '=');
    size_t length = equals == NULL ? 0 : (size_t)(equals - entry);
    if (length == 0 || length >= sizeof(key) || strncasecmp(entry, "aws:", 4) == 0) {
        char place[CONFIG_PLACE_BYTES];
        return error_set(err, ERROR_USAGE, 0,
                         "%s: '%s' is not KEY=VALUE with a key of up to %d characters that does "
                         "not begin with 'aws:'",
                         config_place(config, &config->fargate.tags, "[Fargate] Tags", place),
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

int ecs_request_tags(const struct config *config, cJSON *request, struct error *err)
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
        if (add_tag(config, tags, list->entries[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static cJSON *string_array(cJSON *parent, const char *name, const char *const *texts, size_t count)
{
    cJSON *array = cJSON_CreateStringArray(texts, (int)count);
    if (array == NULL || !cJSON_AddItemToObject(parent, name, array)) {
        cJSON_Delete(array);
        return NULL;
    }
    return array;
}

static bool add_network(const struct config_fargate *fargate, const char *subnet, cJSON *request)
{
    const struct config_list *groups = &fargate->security_groups;
    cJSON *network = cJSON_AddObjectToObject(request, "networkConfiguration");
    cJSON *awsvpc =
        network == NULL ? NULL : cJSON_AddObjectToObject(network, "awsvpcConfiguration");
    return awsvpc != NULL && string_array(awsvpc, "subnets", &subnet, 1) != NULL &&
           (groups->count == 0 ||
            string_array(awsvpc, "securityGroups", (const char *const *)groups->entries,
                         groups->count) != NULL) &&
           cJSON_AddStringToObject(awsvpc, "assignPublicIp",
                                   fargate->enable_public_ip ? "ENABLED" : "DISABLED") != NULL;
}

static bool add_variable(cJSON *environment, const char *name, const char *value)
{
    cJSON *entry = cJSON_CreateObject();
    if (entry == NULL || cJSON_AddStringToObject(entry, "name", name) == NULL ||
        cJSON_AddStringToObject(entry, "value", value) == NULL ||
        !cJSON_AddItemToArray(environment, entry)) {
        cJSON_Delete(entry);
        return false;
    }
    return true;
}

/* The agent gets the driver's grace period, or one of them would give up before the other. With the
 * default, a setting of the image remains in effect. */
static bool add_grace(const struct config *config, cJSON *environment)
{
    char text[32];
    if (config->cancel_grace_ms == CONFIG_CANCEL_GRACE_MS) {
        return true;
    }
    (void)snprintf(text, sizeof(text), "%lldms", (long long)config->cancel_grace_ms);
    return add_variable(environment, "BERTH_GRACE", text);
}

/* The agent keeps a job without a connection longer than the driver tries to reconnect. The agent's
 * default covers the default of [SSH] ReattachTimeout. */
static bool add_detach_timeout(const struct config *config, cJSON *environment)
{
    char text[32];
    if (config->ssh_reattach_timeout_ms == CONFIG_REATTACH_TIMEOUT_MS) {
        return true;
    }
    (void)snprintf(text, sizeof(text), "%lldms",
                   (long long)config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    return add_variable(environment, "BERTH_DETACH_TIMEOUT", text);
}

/* 0: the agent's own setting. */
static bool add_timeout(cJSON *environment, const char *name, int64_t timeout_ms)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lldms", (long long)timeout_ms);
    return timeout_ms == 0 || add_variable(environment, name, text);
}

/* A helper waits for its login while the image of the job's container is being pulled. */
static int64_t connect_ms(const struct backend_task *task)
{
    int64_t launch_ms = task->config->fargate.launch_timeout_ms;
    bool waits = task->metadata->has_helper && launch_ms > AGENT_CONNECT_MS;
    return task->login_within_ms > 0 ? task->login_within_ms : waits ? launch_ms : 0;
}

/* Also of a task without a job yet. Its launch logs in, so that it is idle until a job claims it.
 */
static bool add_login_timeouts(const struct backend_task *task, enum metadata_container which,
                               cJSON *environment)
{
    return add_timeout(environment, "BERTH_CONNECT_TIMEOUT", connect_ms(task)) &&
           add_timeout(environment, "BERTH_IDLE_TIMEOUT", backend_idle_ms(task, which)) &&
           add_timeout(environment, "BERTH_CLAIM_TIMEOUT", backend_claim_ms(task));
}

/* Names of services that would make a definition for each job. The agent adds them to those of its
 * arguments. */
static bool add_host_names(const struct backend_task *task, cJSON *environment)
{
    const struct ecs_session *session = task->session;
    const struct ecs_generated *generated = session == NULL ? NULL : session->generated;
    const cJSON *names = generated == NULL ? NULL : generated->services.varying_names;
    const cJSON *name = NULL;
    cleanup_buffer struct buffer text;
    buffer_init(&text, (size_t)ECS_HOST_NAME_CEILING * IMAGE_ALIAS_BYTES);
    cJSON_ArrayForEach(name, names)
    {
        if (buffer_printf(&text, "%s%s", text.length > 0 ? "," : "", name->valuestring) < 0) {
            return false;
        }
    }
    return text.length == 0 || add_variable(environment, "BERTH_HOST_NAME", text.bytes);
}

/* The user's public key and the seed of the container's host key. Users with access to
 * DescribeTasks can read both; the user's private key never leaves this host. */
static bool add_container(const struct backend_task *task, const char *name,
                          enum metadata_container which, cJSON *list)
{
    const struct keys *keys = task->metadata->keys;
    char line[KEYS_LINE_BYTES];
    char seed[ED25519_SEED_BASE64_BYTES];
    keys_authorized_line(keys->user_seed, line);
    ed25519_seed_base64(metadata_host_seed(task->metadata, which), seed);
    cJSON *container = cJSON_CreateObject();
    bool added = list != NULL && container != NULL && cJSON_AddItemToArray(list, container);
    if (!added) {
        cJSON_Delete(container);
        container = NULL;
    }
    cJSON *environment =
        container == NULL ? NULL : cJSON_AddArrayToObject(container, "environment");
    added = environment != NULL && cJSON_AddStringToObject(container, "name", name) != NULL &&
            add_variable(environment, "SSH_PUBLIC_KEY", line) &&
            add_variable(environment, "BERTH_HOST_KEY_SEED", seed) &&
            add_grace(task->config, environment) && add_detach_timeout(task->config, environment) &&
            add_login_timeouts(task, which, environment) && add_host_names(task, environment);
    sodium_memzero(seed, sizeof(seed));
    return added;
}

/* Variables of services whose agent does not get them over the helper. */
static bool add_services(const struct backend_task *task, cJSON *list)
{
    const struct ecs_session *session = task->session;
    const struct ecs_generated *generated = session == NULL ? NULL : session->generated;
    const cJSON *overrides = generated == NULL ? NULL : generated->services.overrides;
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, overrides)
    {
        cJSON *copy = cJSON_Duplicate(container, 1);
        if (copy == NULL || !cJSON_AddItemToArray(list, copy)) {
            json_delete_wiped(copy);
            return false;
        }
    }
    return true;
}

static bool add_containers(const struct backend_task *task, cJSON *overrides)
{
    cJSON *list = cJSON_AddArrayToObject(overrides, "containerOverrides");
    return add_container(task, task->config->fargate.container_name, METADATA_JOB, list) &&
           (!task->metadata->has_helper ||
            add_container(task, ECS_HELPER_CONTAINER, METADATA_HELPER, list)) &&
           add_services(task, list);
}

static int check_overrides(const cJSON *overrides, struct error *err)
{
    char *text = cJSON_PrintUnformatted(overrides);
    size_t length = text == NULL ? 0 : strlen(text);
    if (text != NULL) {
        sodium_memzero(text, length); /* it has the host keys */
    }
    cJSON_free(text);
    if (length > ECS_OVERRIDES_CEILING) {
        return error_set(err, ERROR_USAGE, 0,
                         "the overrides of the task have %zu characters, above ECS's limit of %d; "
                         "shorten the names of roles and container, and aliases with variables",
                         length, ECS_OVERRIDES_CEILING);
    }
    return 0;
}

/* "NAME", "NAME:WEIGHT" or "NAME:WEIGHT:BASE". */
static int add_provider(const struct config *config, cJSON *strategy, const char *entry,
                        struct error *err)
{
    char name[128];
    int64_t numbers[2] = {1, 0}; /* weight, base */
    (void)snprintf(name, sizeof(name), "%s", entry);
    char *rest = name;
    char *part = strsep(&rest, ":");
    for (size_t i = 0; i < 2 && rest != NULL; i++) {
        if (parse_integer(strsep(&rest, ":"), 0, i == 0 ? 1000 : 100000, &numbers[i]) < 0) {
            rest = name; /* not NULL: a mistake */
            break;
        }
    }
    cJSON *item = rest == NULL && part[0] != '\0' ? cJSON_CreateObject() : NULL;
    if (item == NULL) {
        char place[CONFIG_PLACE_BYTES];
        return error_set(err, ERROR_USAGE, 0,
                         "%s: '%s' is not NAME, NAME:WEIGHT or NAME:WEIGHT:BASE",
                         config_place(config, &config->fargate.capacity_providers,
                                      "[Fargate] CapacityProviders", place),
                         entry);
    }
    if (!cJSON_AddItemToArray(strategy, item) ||
        cJSON_AddStringToObject(item, "capacityProvider", part) == NULL ||
        cJSON_AddNumberToObject(item, "weight", (double)numbers[0]) == NULL ||
        cJSON_AddNumberToObject(item, "base", (double)numbers[1]) == NULL) {
        return out_of_memory(err);
    }
    return 0;
}

static bool is_form(const struct ecs_placement *ask, const char *form)
{
    return ask->form != NULL && strcmp(ask->form, form) == 0;
}

/* launchType and capacityProviderStrategy exclude each other; without both, ECS uses the cluster's
 * default strategy. */
static int add_capacity(const struct config *config, const struct ecs_placement *ask,
                        cJSON *request, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    const char *provider = ask->provider;
    if (is_form(ask, ECS_FORM_DEFAULT)) {
        return 0;
    }
    if (is_form(ask, ECS_FORM_LAUNCH_TYPE) ||
        (provider == NULL && fargate->capacity_providers.count == 0)) {
        return cJSON_AddStringToObject(request, "launchType", "FARGATE") != NULL
                   ? 0
                   : out_of_memory(err);
    }
    cJSON *strategy = cJSON_AddArrayToObject(request, "capacityProviderStrategy");
    if (provider != NULL) {
        return add_provider(config, strategy, provider, err);
    }
    for (size_t i = 0; i < fargate->capacity_providers.count; i++) {
        if (add_provider(config, strategy, fargate->capacity_providers.entries[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool add_plain(const struct backend_task *task, const struct ecs_placement *ask,
                      cJSON *request)
{
    const struct config_fargate *fargate = &task->config->fargate;
    const char *generated = ecs_state_text(task->metadata, ECS_STATE_DEFINITION);
    const char *definition = generated != NULL ? generated : fargate->task_definition;
    const char *version = fargate->platform_version;
    if (version == NULL && ask->form == NULL) {
        version = "LATEST";
    }
    return cJSON_AddStringToObject(request, "cluster", fargate->cluster) != NULL &&
           cJSON_AddStringToObject(request, "taskDefinition", definition) != NULL &&
           cJSON_AddNumberToObject(request, "count", 1) != NULL &&
           cJSON_AddStringToObject(request, "clientToken", ask->token) != NULL &&
           cJSON_AddStringToObject(request, "startedBy",
                                   ecs_state_text(task->metadata, "started_by")) != NULL &&
           (version == NULL ||
            cJSON_AddStringToObject(request, "platformVersion", version) != NULL) &&
           cJSON_AddBoolToObject(request, "enableExecuteCommand",
                                 fargate->enable_execute_command) != NULL &&
           cJSON_AddBoolToObject(request, "enableECSManagedTags", fargate->managed_tags) != NULL &&
           (!fargate->propagate_tags ||
            cJSON_AddStringToObject(request, "propagateTags", "TASK_DEFINITION") != NULL);
}

static int fill(const struct backend_task *task, const struct ecs_placement *ask, cJSON *request,
                struct error *err)
{
    const struct config_fargate *fargate = &task->config->fargate;
    cJSON *overrides = cJSON_AddObjectToObject(request, "overrides");
    if (overrides == NULL || !add_plain(task, ask, request) ||
        !add_network(fargate, ask->subnet, request) || !add_containers(task, overrides)) {
        return out_of_memory(err);
    }
    if (add_capacity(task->config, ask, request, err) < 0 ||
        add_sizes_and_roles(task->config, overrides, err) < 0 ||
        ecs_request_tags(task->config, request, err) < 0) {
        return -1;
    }
    return check_overrides(overrides, err);
}

cJSON *ecs_request_new(const struct backend_task *task, const struct ecs_placement *ask,
                       struct error *err)
{
    cJSON *request = cJSON_CreateObject();
    if (request == NULL) {
        (void)out_of_memory(err);
        return NULL;
    }
    if (fill(task, ask, request, err) < 0) {
        json_delete_wiped(request);
        return NULL;
    }
    return request;
}
