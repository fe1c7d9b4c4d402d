/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/definition_base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/json.h"

/* What DescribeTaskDefinition adds and RegisterTaskDefinition does not take. */
static const char *const answer_keys[] = {
    "family",          "taskDefinitionArn",  "revision",     "status",
    "compatibilities", "requiresAttributes", "registeredAt", "registeredBy",
    "deregisteredAt",  "deleteRequestedAt",  "tags",
};

/* What belongs to the image of the base's job container. */
static const char *const image_keys[] = {
    "image",
    "repositoryCredentials",
    "entryPoint",
    "command",
    "user",
    "workingDirectory",
    "healthCheck",
    "portMappings",
    "dependsOn",
    "restartPolicy",
    "cpu",
    "memory",
    "memoryReservation",
    "privileged", /* as [Fargate] PrivilegedImages has it */
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the task definition");
}

static void drop(cJSON *object, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, keys[i]);
    }
}

/* AWS answers with lists that nothing was said about, some of which it would not take. */
static void drop_empty(cJSON *object)
{
    cJSON *next = NULL;
    for (cJSON *item = object->child; item != NULL; item = next) {
        next = item->next;
        if (cJSON_IsArray(item) && item->child == NULL) {
            cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const cJSON *const *left = a;
    const cJSON *const *right = b;
    return strcmp(json_text_or_empty(*left, "name"), json_text_or_empty(*right, "name"));
}

/* AWS may answer with the entries in another order than it was given. */
static void sort_by_name(cJSON *array, bool *ok)
{
    size_t count = (size_t)cJSON_GetArraySize(array);
    cJSON **items = calloc(count + 1, sizeof(cJSON *));
    if (items == NULL) {
        *ok = false;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = cJSON_DetachItemFromArray(array, 0);
    }
    qsort(items, count, sizeof(cJSON *), by_name);
    for (size_t i = 0; i < count; i++) {
        (void)cJSON_AddItemToArray(array, items[i]);
    }
    free(items);
}

cJSON *ecs_definition_container(const cJSON *definition, const char *name)
{
    cJSON *container = NULL;
    cJSON_ArrayForEach(container,
                       cJSON_GetObjectItemCaseSensitive(definition, "containerDefinitions"))
    {
        if (strcmp(json_text_or_empty(container, "name"), name) == 0) {
            return container;
        }
    }
    return NULL;
}

/* Without a base: its cpu and memory, execution role, and the log. */
static cJSON *new_base(const struct ecs_plan *plan, struct error *err)
{
    const struct config_fargate *fargate = &plan->config->fargate;
    bool ok = true;
    char number[24];
    if (fargate->size.cpu_units == 0 || fargate->size.memory_mib == 0) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "the size of a task for an image of its own is not known");
        (void)error_hint(err, "set [Fargate] Cpu and Memory, or TaskDefinition as the base");
        return NULL;
    }
    cJSON *definition = cJSON_CreateObject();
    (void)snprintf(number, sizeof(number), "%lld", (long long)fargate->size.cpu_units);
    json_text(definition, "cpu", number, &ok);
    (void)snprintf(number, sizeof(number), "%lld", (long long)fargate->size.memory_mib);
    json_text(definition, "memory", number, &ok);
    cJSON *container = cJSON_CreateObject();
    json_text(container, "name", fargate->container_name, &ok);
    if (fargate->log_group != NULL) {
        cJSON *log = json_object(container, "logConfiguration", &ok);
        json_text(log, "logDriver", "awslogs", &ok);
        cJSON *options = json_object(log, "options", &ok);
        json_text(options, "awslogs-group", fargate->log_group, &ok);
        json_text(options, "awslogs-region", plan->region, &ok);
        json_text(options, "awslogs-stream-prefix", "berth", &ok);
    }
    ok = cJSON_AddItemToArray(json_array(definition, "containerDefinitions", &ok), container) && ok;
    if (!ok) {
        cJSON_Delete(definition);
        (void)out_of_memory(err);
        return NULL;
    }
    return definition;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {ECS_INJECT_CONTAINER, ECS_HELPER_CONTAINER, ECS_AGENT_VOLUME,
                                       ECS_BUILDS_VOLUME, ECS_CERTS_VOLUME};
    for (size_t i = 0; i < COUNT(ours); i++) {
        if (strcmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, ECS_SERVICE_PREFIX, strlen(ECS_SERVICE_PREFIX)) == 0;
}

static int check_names(const cJSON *list, const char *what, struct error *err)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        const char *name = json_text_or_empty(item, "name");
        if (is_ours(name)) {
            return error_set(err, ERROR_USAGE, 0,
                             "the task definition has a %s '%s', which Berth adds itself; rename "
                             "it",
                             what, name);
        }
    }
    return 0;
}

bool ecs_definition_has_certs(const struct ecs_plan *plan)
{
    for (size_t i = 0; i < plan->service_count; i++) {
        if (plan->services[i].privileged) {
            return true;
        }
    }
    return false;
}

static int check_mounts(const struct ecs_plan *plan, const cJSON *container, struct error *err)
{
    const char *const ours[] = {ECS_AGENT_DIRECTORY, ECS_BUILDS_DIRECTORY,
                                ECS_SERVICE_HELPER_DIRECTORY,
                                ecs_definition_has_certs(plan) ? ECS_CERTS_DIRECTORY : ""};
    const cJSON *mount = NULL;
    cJSON_ArrayForEach(mount, json_at(container, "mountPoints"))
    {
        for (size_t i = 0; i < COUNT(ours); i++) {
            if (strcmp(json_text_or_empty(mount, "containerPath"), ours[i]) == 0) {
                return error_set(err, ERROR_USAGE, 0,
                                 "the task definition mounts a volume at '%s', where Berth mounts "
                                 "its own; remove that mount point",
                                 ours[i]);
            }
        }
    }
    return 0;
}

/* The job's container is essential and loses its health check: ECS lets others wait for no more
 * than its start. */
static int check_dependencies(const cJSON *base, const char *job, struct error *err)
{
    const cJSON *container = NULL;
    const cJSON *wait = NULL;
    cJSON_ArrayForEach(container, json_at(base, "containerDefinitions"))
    {
        cJSON_ArrayForEach(wait, json_at(container, "dependsOn"))
        {
            const char *condition = json_text_or_empty(wait, "condition");
            if (strcmp(json_text_or_empty(wait, "containerName"), job) == 0 &&
                strcmp(condition, "START") != 0) {
                (void)error_set(err, ERROR_USAGE, 0,
                                "the container '%s' of the task definition waits for '%s' to be "
                                "%s, which a job's container never is",
                                json_text_or_empty(container, "name"), job, condition);
                return error_hint(err,
                                  "use the condition \"START\" in its dependsOn, or remove it");
            }
        }
    }
    return 0;
}

/* The base as RegisterTaskDefinition takes it, with its job container reduced to what stays. */
static cJSON *copy_base(const struct ecs_plan *plan, struct error *err)
{
    const char *name = plan->config->fargate.container_name;
    cJSON *item = NULL;
    bool ok = true;
    cJSON *definition = cJSON_Duplicate(plan->base, 1);
    if (definition == NULL) {
        (void)out_of_memory(err);
        return NULL;
    }
    cJSON *container = ecs_definition_container(definition, name);
    if (container == NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "the task definition '%s' has no container '%s'",
                        json_text_or_empty(definition, "taskDefinitionArn"), name);
        (void)error_hint(err, "set [Fargate] ContainerName to the one that runs the job");
    } else if (check_names(json_at(definition, "containerDefinitions"), "container", err) == 0 &&
               check_names(json_at(definition, "volumes"), "volume", err) == 0 &&
               check_mounts(plan, container, err) == 0 &&
               check_dependencies(definition, name, err) == 0) {
        drop(definition, answer_keys, COUNT(answer_keys));
        drop(container, image_keys, COUNT(image_keys));
        drop_empty(definition);
        cJSON_ArrayForEach(item, json_at(definition, "containerDefinitions"))
        {
            drop_empty(item);
            sort_by_name(cJSON_GetObjectItemCaseSensitive(item, "environment"), &ok);
            sort_by_name(cJSON_GetObjectItemCaseSensitive(item, "secrets"), &ok);
        }
        if (ok) {
            return definition;
        }
        (void)out_of_memory(err);
    }
    cJSON_Delete(definition);
    return NULL;
}

cJSON *ecs_definition_base(const struct ecs_plan *plan, struct error *err)
{
    return plan->base != NULL ? copy_base(plan, err) : new_base(plan, err);
}
