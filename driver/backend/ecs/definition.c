/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/definition.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/ecs/definition_base.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/base/json.h"

#define AGENT          ECS_AGENT_DIRECTORY "/berth-agent"
#define HOME_DIRECTORY ECS_BUILDS_DIRECTORY "/.berth-home"

#define SERVICE_TIMEOUT_MS 600000 /* of 'berth-agent service', by default */

/* What the helper gets of the base's job container. */
static const char *const helper_keys[] = {
    "environment", "environmentFiles", "secrets", "logConfiguration", "mountPoints", "ulimits",
};

static const char *const log_keys[] = {"logConfiguration"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the task definition");
}

static void copy(const cJSON *from, const char *const *keys, size_t count, cJSON *to, bool *ok)
{
    for (size_t i = 0; i < count; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, keys[i]);
        if (item != NULL) {
            *ok = *ok && cJSON_AddItemToObject(to, keys[i], cJSON_Duplicate(item, 1));
        }
    }
}

size_t ecs_definition_sidecars(const cJSON *base, const char *container)
{
    int count = cJSON_GetArraySize(json_at(base, "containerDefinitions"));
    return (size_t)count - (ecs_definition_container(base, container) != NULL ? 1 : 0);
}

const char *ecs_definition_processor(const cJSON *base)
{
    const char *text = json_text_at(base, "runtimePlatform.cpuArchitecture");
    return text != NULL ? text : "X86_64";
}

void ecs_service_container(size_t index, char out[ECS_SERVICE_CONTAINER_BYTES])
{
    (void)snprintf(out, ECS_SERVICE_CONTAINER_BYTES, ECS_SERVICE_PREFIX "%zu", index + 1);
}

static void add_mount(cJSON *container, const char *volume, const char *path, bool read_only,
                      bool *ok)
{
    cJSON *mounts = cJSON_GetObjectItemCaseSensitive(container, "mountPoints");
    cJSON *mount = cJSON_CreateObject();
    if (mounts == NULL) {
        mounts = json_array(container, "mountPoints", ok);
    }
    json_text(mount, "sourceVolume", volume, ok);
    json_text(mount, "containerPath", path, ok);
    json_bool(mount, "readOnly", read_only, ok);
    *ok = *ok && cJSON_AddItemToArray(mounts, mount);
}

static void add_volume(cJSON *definition, const char *name, bool *ok)
{
    cJSON *volumes = cJSON_GetObjectItemCaseSensitive(definition, "volumes");
    cJSON *volume = cJSON_CreateObject();
    if (volumes == NULL) {
        volumes = json_array(definition, "volumes", ok);
    }
    json_text(volume, "name", name, ok);
    *ok = *ok && cJSON_AddItemToArray(volumes, volume);
}

static void set_words(cJSON *container, const char *key, const cJSON *words, bool *ok)
{
    *ok = *ok && cJSON_AddItemToObject(container, key, cJSON_Duplicate(words, 1));
}

static void add_image(cJSON *container, const struct ecs_image *image, bool *ok)
{
    json_text(container, "image", image->name, ok);
    if (image->secret != NULL) {
        json_text(json_object(container, "repositoryCredentials", ok), "credentialsParameter",
                  image->secret, ok);
    }
}

/* The container waits until the agent is in its volume. */
static void add_inject_dependency(cJSON *container, bool *ok)
{
    cJSON *wait = cJSON_CreateObject();
    json_text(wait, "containerName", ECS_INJECT_CONTAINER, ok);
    json_text(wait, "condition", "SUCCESS", ok);
    *ok = *ok && cJSON_AddItemToArray(json_array(container, "dependsOn", ok), wait);
}

/* Container and its agent: started from the volume, on a port of its own. Returns the agent's
 * arguments, to which the caller adds. */
static cJSON *add_agent(cJSON *container, int64_t port, const struct ecs_plan *plan, bool *ok)
{
    const cJSON *name = NULL;
    json_append(json_array(container, "entryPoint", ok), AGENT, ok);
    cJSON *command = json_array(container, "command", ok);
    json_append(command, "--listen", ok);
    json_append_format(command, ok, ":%lld", (long long)port);
    cJSON_ArrayForEach(name, plan->host_names)
    {
        json_append(command, "--host-name", ok);
        json_append(command, name->valuestring, ok);
    }
    add_inject_dependency(container, ok);
    add_mount(container, ECS_AGENT_VOLUME, ECS_AGENT_DIRECTORY, true, ok);
    add_mount(container, ECS_BUILDS_VOLUME, ECS_BUILDS_DIRECTORY, false, ok);
    return command;
}

/* Not a key that is false: Fargate refuses it. */
static void add_privilege(cJSON *container, bool privileged, bool *ok)
{
    if (privileged) {
        json_bool(container, "privileged", true, ok);
    }
}

static cJSON *new_container(cJSON *definition, const char *name, bool essential, bool *ok)
{
    cJSON *container = cJSON_CreateObject();
    json_text(container, "name", name, ok);
    json_bool(container, "essential", essential, ok);
    *ok = *ok &&
          cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(definition, "containerDefinitions"),
                               container);
    return container;
}

static void add_inject(const struct ecs_plan *plan, const cJSON *logs, cJSON *definition, bool *ok)
{
    cJSON *container = new_container(definition, ECS_INJECT_CONTAINER, false, ok);
    add_image(container, &plan->agent, ok);
    json_text(container, "user", "0", ok);
    json_append(json_array(container, "entryPoint", ok), "/berth-agent", ok);
    cJSON *command = json_array(container, "command", ok);
    json_append(command, "place", ok);
    json_append(command, ECS_AGENT_DIRECTORY, ok);
    json_append(command, "--builds", ok);
    json_append(command, ECS_BUILDS_DIRECTORY, ok);
    add_mount(container, ECS_AGENT_VOLUME, ECS_AGENT_DIRECTORY, false, ok);
    add_mount(container, ECS_BUILDS_VOLUME, ECS_BUILDS_DIRECTORY, false, ok);
    copy(logs, log_keys, COUNT(log_keys), container, ok);
}

static void service_volume(size_t index, char out[ECS_SERVICE_CONTAINER_BYTES])
{
    ecs_service_container(index, out);
}

static void add_helper(const struct ecs_plan *plan, const cJSON *logs, cJSON *definition, bool *ok)
{
    cJSON *container = new_container(definition, ECS_HELPER_CONTAINER, true, ok);
    add_image(container, &plan->helper, ok);
    json_text(container, "user", "0", ok);
    copy(logs, helper_keys, COUNT(helper_keys), container, ok);
    cJSON *command = add_agent(container, plan->config->fargate.helper_port, plan, ok);
    json_append(command, "--helper", ok);
    json_append(command, "--umask", ok);
    json_append(command, plan->plain_umask ? "0022" : "0000", ok);
    for (size_t i = 0; i < plan->service_count; i++) {
        char volume[ECS_SERVICE_CONTAINER_BYTES];
        char path[64];
        if (plan->services[i].wrapped) {
            service_volume(i, volume);
            (void)snprintf(path, sizeof(path), ECS_SERVICE_HELPER_DIRECTORY "/%zu", i + 1);
            add_mount(container, volume, path, false, ok);
        }
    }
}

/* 'container' has what stays of the base's. */
static void fill_job(const struct ecs_plan *plan, cJSON *container, bool *ok)
{
    const cJSON *word = NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(container, "essential");
    json_bool(container, "essential", true, ok);
    add_image(container, &plan->job, ok);
    if (plan->user != NULL) {
        json_text(container, "user", plan->user, ok);
    }
    add_privilege(container, plan->privileged, ok);
    cJSON *command = add_agent(container, plan->config->fargate.job_port, plan, ok);
    if (ecs_definition_has_certs(plan)) {
        add_mount(container, ECS_CERTS_VOLUME, ECS_CERTS_DIRECTORY, true, ok);
    }
    json_append(command, "--busybox", ok);
    json_append(command, ECS_AGENT_DIRECTORY, ok);
    json_append(command, "--home-fallback", ok);
    json_append(command, HOME_DIRECTORY, ok);
    cJSON_ArrayForEach(word, plan->entrypoint)
    {
        json_append(command, "--entrypoint", ok);
        json_append(command, word->valuestring, ok);
    }
}

/* ENTRYPOINT and CMD become arguments of the agent, which runs them once the variables are there.
 */
static void wrap_service(const struct ecs_plan *plan, size_t index, cJSON *definition,
                         cJSON *container, bool *ok)
{
    const struct ecs_service *service = &plan->services[index];
    int64_t launch_ms = plan->config->fargate.launch_timeout_ms;
    const cJSON *word = NULL;
    const cJSON *const lists[] = {service->entrypoint, service->command};
    char volume[ECS_SERVICE_CONTAINER_BYTES];
    json_append(json_array(container, "entryPoint", ok), AGENT, ok);
    cJSON *command = json_array(container, "command", ok);
    json_append(command, "service", ok);
    json_append(command, "--variables", ok);
    json_append(command, ECS_SERVICE_DIRECTORY "/" ECS_SERVICE_FILE, ok);
    if (launch_ms > SERVICE_TIMEOUT_MS) { /* as the helper, which writes them, has for its login */
        json_append(command, "--timeout", ok);
        json_append_format(command, ok, "%lldms", (long long)launch_ms);
    }
    json_append(command, "--", ok);
    for (size_t i = 0; i < COUNT(lists); i++) {
        cJSON_ArrayForEach(word, lists[i])
        {
            json_append(command, word->valuestring, ok);
        }
    }
    service_volume(index, volume);
    add_volume(definition, volume, ok);
    add_inject_dependency(container, ok);
    add_mount(container, ECS_AGENT_VOLUME, ECS_AGENT_DIRECTORY, true, ok);
    add_mount(container, volume, ECS_SERVICE_DIRECTORY, true, ok);
}

static void add_service(const struct ecs_plan *plan, size_t index, const cJSON *logs,
                        cJSON *definition, bool *ok)
{
    const struct ecs_service *service = &plan->services[index];
    char name[ECS_SERVICE_CONTAINER_BYTES];
    ecs_service_container(index, name);
    cJSON *container = new_container(definition, name, false, ok);
    add_image(container, &service->image, ok);
    if (service->user != NULL) {
        json_text(container, "user", service->user, ok);
    }
    if (service->wrapped) {
        wrap_service(plan, index, definition, container, ok);
    } else {
        if (cJSON_GetArraySize(service->entrypoint) > 0) {
            set_words(container, "entryPoint", service->entrypoint, ok);
        }
        if (cJSON_GetArraySize(service->command) > 0) {
            set_words(container, "command", service->command, ok);
        }
    }
    if (plan->services_see_builds) {
        add_mount(container, ECS_BUILDS_VOLUME, ECS_BUILDS_DIRECTORY, false, ok);
    }
    add_privilege(container, service->privileged, ok);
    if (service->privileged) {
        add_mount(container, ECS_CERTS_VOLUME, ECS_CERTS_DIRECTORY, false, ok);
    }
    copy(logs, log_keys, COUNT(log_keys), container, ok);
}

static void set_compatibility(cJSON *definition, const char *compatibility, bool *ok)
{
    cJSON_DeleteItemFromObjectCaseSensitive(definition, "requiresCompatibilities");
    json_append(json_array(definition, "requiresCompatibilities", ok), compatibility, ok);
}

/* What the whole task needs: the kind of capacity, the processor, an execution role. */
static void fill_task(const struct ecs_plan *plan, cJSON *definition, bool *ok)
{
    const char *role = plan->config->fargate.execution_role;
    cJSON *platform = cJSON_GetObjectItemCaseSensitive(definition, "runtimePlatform");
    if (json_at(definition, "networkMode") == NULL) {
        json_text(definition, "networkMode", "awsvpc", ok);
    }
    if (plan->compatibility != NULL) {
        set_compatibility(definition, plan->compatibility, ok);
    } else if (cJSON_GetArraySize(json_at(definition, "requiresCompatibilities")) == 0) {
        set_compatibility(definition, "FARGATE", ok);
    }
    if (json_text_at(definition, "executionRoleArn") == NULL && role != NULL) {
        json_text(definition, "executionRoleArn", role, ok);
    }
    if (plan->processor == NULL) {
        return;
    }
    if (platform == NULL) {
        platform = json_object(definition, "runtimePlatform", ok);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(platform, "cpuArchitecture");
    json_text(platform, "cpuArchitecture", plan->processor, ok);
    if (json_at(platform, "operatingSystemFamily") == NULL) {
        json_text(platform, "operatingSystemFamily", "LINUX", ok);
    }
}

static int check_size(const struct ecs_plan *plan, const cJSON *definition, struct error *err)
{
    int count = cJSON_GetArraySize(json_at(definition, "containerDefinitions"));
    if (count > ECS_CONTAINER_CEILING) {
        size_t sidecars = ecs_definition_sidecars(plan->base, plan->config->fargate.container_name);
        return error_set(err, ERROR_USAGE, 0,
                         "the job needs %d containers, above ECS's limit of %d: its own, %d of "
                         "Berth, %zu services, %zu others of the task definition",
                         count, ECS_CONTAINER_CEILING, plan->with_helper ? 2 : 1,
                         plan->service_count, plan->base == NULL ? 0 : sidecars);
    }
    char *text = cJSON_PrintUnformatted(definition);
    size_t length = text == NULL ? 0 : strlen(text) + ECS_FAMILY_BYTES;
    cJSON_free(text);
    if (length == 0) {
        return out_of_memory(err);
    }
    return length <= ECS_DEFINITION_CEILING_BYTES
               ? 0
               : error_set(err, ERROR_USAGE, 0,
                           "the task definition of this job has %zu bytes, above ECS's limit of "
                           "%lu; shorten the texts of its services and of the base",
                           length, ECS_DEFINITION_CEILING_BYTES);
}

static int fill(const struct ecs_plan *plan, cJSON *definition, struct error *err)
{
    bool ok = true;
    cJSON *job = ecs_definition_container(definition, plan->config->fargate.container_name);
    cJSON *logs = cJSON_CreateObject(); /* what others get of the job's container */
    copy(job, helper_keys, COUNT(helper_keys), logs, &ok);
    fill_task(plan, definition, &ok);
    add_volume(definition, ECS_AGENT_VOLUME, &ok);
    add_volume(definition, ECS_BUILDS_VOLUME, &ok);
    if (ecs_definition_has_certs(plan)) {
        add_volume(definition, ECS_CERTS_VOLUME, &ok);
    }
    fill_job(plan, job, &ok);
    add_inject(plan, logs, definition, &ok);
    if (plan->with_helper) {
        add_helper(plan, logs, definition, &ok);
    }
    for (size_t i = 0; i < plan->service_count; i++) {
        add_service(plan, i, logs, definition, &ok);
    }
    cJSON_Delete(logs);
    json_sort(definition);
    return ok ? check_size(plan, definition, err) : out_of_memory(err);
}

cJSON *ecs_definition_make(const struct ecs_plan *plan, struct error *err)
{
    cJSON *definition = ecs_definition_base(plan, err);
    if (definition != NULL && fill(plan, definition, err) < 0) {
        cJSON_Delete(definition);
        return NULL;
    }
    return definition;
}

static void hash_text(const char *text, size_t bytes, char *out)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
    (void)sodium_bin2hex(out, 2 * bytes + 1, hash, bytes);
}

int ecs_definition_hash(const cJSON *definition, char out[ECS_HASH_BYTES], struct error *err)
{
    char *text = cJSON_PrintUnformatted(definition);
    if (text == NULL) {
        return out_of_memory(err);
    }
    hash_text(text, ECS_HASH_BYTES / 2, out);
    cJSON_free(text);
    return 0;
}

void ecs_definition_prefix(const char *region, const char *cluster, char out[ECS_PREFIX_BYTES])
{
    char text[ECS_ARN_BYTES + 80];
    char scope[9];
    (void)snprintf(text, sizeof(text), "%s\n%s", region, ecs_short_name(cluster));
    hash_text(text, sizeof(scope) / 2, scope);
    (void)snprintf(out, ECS_PREFIX_BYTES, "berth-%s-", scope);
}
