/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "driver/backend/ecs.h"

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

/* The public half of the user's key, and the seed of the host's: whoever may call DescribeTasks
 * sees both. The half that logs in never leaves this machine. */
static bool add_container(const struct backend_task *task, cJSON *overrides)
{
    const struct keys *keys = task->metadata->keys;
    char line[KEYS_LINE_BYTES];
    char seed[ED25519_SEED_BASE64_BYTES];
    keys_authorized_line(keys->user_seed, line);
    ed25519_seed_base64(keys->host_seed, seed);
    cJSON *list = cJSON_AddArrayToObject(overrides, "containerOverrides");
    cJSON *container = cJSON_CreateObject();
    bool added = list != NULL && container != NULL && cJSON_AddItemToArray(list, container);
    if (!added) {
        cJSON_Delete(container);
        container = NULL;
    }
    cJSON *environment =
        container == NULL ? NULL : cJSON_AddArrayToObject(container, "environment");
    added =
        environment != NULL &&
        cJSON_AddStringToObject(container, "name", task->config->fargate.container_name) != NULL &&
        add_variable(environment, "SSH_PUBLIC_KEY", line) &&
        add_variable(environment, "BERTH_HOST_KEY_SEED", seed);
    sodium_memzero(seed, sizeof(seed));
    return added;
}

static int check_overrides(const cJSON *overrides, struct error *err)
{
    char *text = cJSON_PrintUnformatted(overrides);
    size_t length = text == NULL ? 0 : strlen(text);
    cJSON_free(text);
    if (length > ECS_OVERRIDES_CEILING) {
        return error_set(err, ERROR_USAGE, 0,
                         "the overrides of the task have %zu characters, and ECS takes %d; shorten "
                         "the names of roles and container",
                         length, ECS_OVERRIDES_CEILING);
    }
    return 0;
}

/* "NAME", "NAME:WEIGHT" or "NAME:WEIGHT:BASE". */
static int add_provider(cJSON *strategy, const char *entry, struct error *err)
{
    char name[128];
    int64_t numbers[2] = {1, 0}; /* weight, base */
    (void)snprintf(name, sizeof(name), "%s", entry);
    char *rest = name;
    char *part = strsep(&rest, ":");
    for (size_t i = 0; i < 2 && rest != NULL; i++) {
        if (parse_integer(strsep(&rest, ":"), 0, i == 0 ? 1000 : 100000, &numbers[i]) < 0) {
            rest = name; /* not empty: a mistake */
            break;
        }
    }
    cJSON *item = rest == NULL && part[0] != '\0' ? cJSON_CreateObject() : NULL;
    if (item == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Fargate] CapacityProviders: '%s' is no NAME, NAME:WEIGHT or "
                         "NAME:WEIGHT:BASE",
                         entry);
    }
    if (!cJSON_AddItemToArray(strategy, item) ||
        cJSON_AddStringToObject(item, "capacityProvider", part) == NULL ||
        cJSON_AddNumberToObject(item, "weight", (double)numbers[0]) == NULL ||
        cJSON_AddNumberToObject(item, "base", (double)numbers[1]) == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for a task");
    }
    return 0;
}

/* launchType and capacityProviderStrategy exclude each other; with neither, a cluster without a
 * default strategy would look for EC2 instances. */
static int add_capacity(const struct config_fargate *fargate, const char *provider, cJSON *request,
                        struct error *err)
{
    if (provider == NULL && fargate->capacity_providers.count == 0) {
        return cJSON_AddStringToObject(request, "launchType", "FARGATE") != NULL
                   ? 0
                   : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for a task");
    }
    cJSON *strategy = cJSON_AddArrayToObject(request, "capacityProviderStrategy");
    if (provider != NULL) {
        return add_provider(strategy, provider, err);
    }
    for (size_t i = 0; i < fargate->capacity_providers.count; i++) {
        if (add_provider(strategy, fargate->capacity_providers.entries[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool add_plain(const struct backend_task *task, const char *token, cJSON *request)
{
    const struct config_fargate *fargate = &task->config->fargate;
    const char *version = fargate->platform_version;
    return cJSON_AddStringToObject(request, "cluster", fargate->cluster) != NULL &&
           cJSON_AddStringToObject(request, "taskDefinition", fargate->task_definition) != NULL &&
           cJSON_AddNumberToObject(request, "count", 1) != NULL &&
           cJSON_AddStringToObject(request, "clientToken", token) != NULL &&
           cJSON_AddStringToObject(request, "startedBy",
                                   ecs_state_text(task->metadata, "started_by")) != NULL &&
           cJSON_AddStringToObject(request, "platformVersion",
                                   version != NULL ? version : "LATEST") != NULL &&
           cJSON_AddBoolToObject(request, "enableExecuteCommand",
                                 fargate->enable_execute_command) != NULL &&
           cJSON_AddBoolToObject(request, "enableECSManagedTags", fargate->managed_tags) != NULL &&
           (!fargate->propagate_tags ||
            cJSON_AddStringToObject(request, "propagateTags", "TASK_DEFINITION") != NULL);
}

static int fill(const struct backend_task *task, const char *provider, const char *subnet,
                const char *token, cJSON *request, struct error *err)
{
    const struct config_fargate *fargate = &task->config->fargate;
    cJSON *overrides = cJSON_AddObjectToObject(request, "overrides");
    if (overrides == NULL || !add_plain(task, token, request) ||
        !add_network(fargate, subnet, request) || !add_container(task, overrides)) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for a task");
    }
    if (add_capacity(fargate, provider, request, err) < 0 ||
        ecs_job_add_overrides(task->config, overrides, err) < 0 ||
        ecs_job_add_tags(task->config, request, err) < 0) {
        return -1;
    }
    return check_overrides(overrides, err);
}

cJSON *ecs_request_new(const struct backend_task *task, const char *provider, const char *subnet,
                       const char *token, struct error *err)
{
    cJSON *request = cJSON_CreateObject();
    if (request == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for a task");
        return NULL;
    }
    if (fill(task, provider, subnet, token, request, err) < 0) {
        cJSON_Delete(request);
        return NULL;
    }
    return request;
}
