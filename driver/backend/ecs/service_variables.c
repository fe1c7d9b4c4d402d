/* SPDX-License-Identifier: MIT */
/*
 * How the variables of services reach them: as overrides of RunTask (ecs_services_override), or
 * over the helper (ecs_services_settle). See services.h.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/service_logs.h"
#include "driver/backend/ecs/services.h"
#include "driver/backend/log_lines.h"
#include "driver/base/json.h"
#include "driver/runner/runner.h"

#define TEXT_BYTES              4096        /* of a command in the helper */
#define VARIABLES_CEILING_BYTES (1UL << 20) /* as the agent */
#define SERVICE_SPARE           48          /* {"name":"berth-svc-1","environment":[]}, */
#define CALL_MS                 30000

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the variables of the services");
}

/* In the order in which they get room. */
enum tier { TIER_OWN, TIER_PUBLIC, TIER_PREDEFINED, TIER_COUNT };

/* What decides whether a variable of a service becomes an override. */
struct choice {
    struct ecs_services *services;
    const struct config *config;
    size_t room;
    int left_out;
    bool ok;
};

/* A variable whose value is the job's own is one that the job passes on. */
static enum tier tier_of(const char *text)
{
    size_t length = strcspn(text, "=");
    char *name = strndup(text, length);
    const char *value = name == NULL ? NULL : runner_variable(name);
    free(name);
    if (value == NULL || text[length] != '=' || strcmp(value, text + length + 1) != 0) {
        return TIER_OWN;
    }
    return strncmp(text, "CI_", 3) == 0 ? TIER_PREDEFINED : TIER_PUBLIC;
}

/* {"name": ..., "value": ...} */
static cJSON *override_of(const char *text, bool *ok)
{
    size_t length = strcspn(text, "=");
    char *name = strndup(text, length);
    cJSON *entry = cJSON_CreateObject();
    json_text(entry, "name", name, ok); /* without memory for it: not ok */
    free(name);
    json_text(entry, "value", text[length] == '=' ? text + length + 1 : "", ok);
    return entry;
}

static cJSON *environment_of(struct choice *choice, size_t index)
{
    char name[ECS_SERVICE_CONTAINER_BYTES];
    cJSON *container = NULL;
    ecs_service_container(index, name);
    cJSON_ArrayForEach(container, choice->services->overrides)
    {
        if (strcmp(json_text_or_empty(container, "name"), name) == 0) {
            return cJSON_GetObjectItemCaseSensitive(container, "environment");
        }
    }
    container = cJSON_CreateObject();
    json_text(container, "name", name, &choice->ok);
    cJSON *environment = json_array(container, "environment", &choice->ok);
    choice->ok = cJSON_AddItemToArray(choice->services->overrides, container) && choice->ok;
    choice->room -= choice->room < SERVICE_SPARE ? choice->room : SERVICE_SPARE;
    return environment;
}

/* What makes the variables of services no overrides. */
static const char *remedy(const struct config *config)
{
    return strcmp(config->helper.use, "never") == 0 ? "set [Helper] Use = \"auto\""
                                                    : "set the service's 'entrypoint'";
}

static int no_room(const struct choice *choice, const struct ecs_service_state *state,
                   const char *text, struct error *err)
{
    (void)error_set(err, ERROR_USAGE, 0,
                    "service '%s': its variable %.*s does not fit into the overrides of the task, "
                    "which ECS limits to 8192 characters",
                    state->name, (int)strcspn(text, "="), text);
    return error_hint(err, "%s, then its variables have no limit", remedy(choice->config));
}

static int add_override(struct choice *choice, size_t index, const char *text, enum tier tier,
                        struct error *err)
{
    const struct ecs_service_state *state = &choice->services->states[index];
    if (ecs_services_hold_secret(choice->services, text) &&
        !choice->config->fargate.service_secrets_in_overrides) {
        bool unread =
            choice->services->entries[index].entrypoint == NULL && state->choice.unknown[0] != '\0';
        (void)error_set(err, ERROR_USAGE, 0,
                        "service '%s': its variable %.*s has a masked value, which users with "
                        "access to DescribeTasks could read%s%s%s",
                        state->name, (int)strcspn(text, "="), text,
                        unread ? ", and the entrypoint of its image is not known (" : "",
                        unread ? state->choice.unknown : "", unread ? ")" : "");
        return error_hint(err,
                          "%s, then its variables are passed over SSH; or set [Fargate] "
                          "ServiceSecretsInOverrides = true",
                          remedy(choice->config));
    }
    cJSON *environment = environment_of(choice, index);
    cJSON *entry = override_of(text, &choice->ok);
    char *printed = cJSON_PrintUnformatted(entry);
    size_t length = printed == NULL ? 0 : strlen(printed) + 1;
    if (printed != NULL) {
        sodium_memzero(printed, strlen(printed));
    }
    cJSON_free(printed);
    if (length == 0 || !choice->ok) {
        json_delete_wiped(entry);
        return out_of_memory(err);
    }
    if (length > choice->room) {
        json_delete_wiped(entry);
        choice->left_out++;
        return tier == TIER_OWN ? no_room(choice, state, text, err) : 0;
    }
    choice->room -= length;
    return cJSON_AddItemToArray(environment, entry) ? 0 : out_of_memory(err);
}

static int add_tier(struct choice *choice, size_t index, enum tier tier, struct error *err)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, choice->services->states[index].variables)
    {
        if (tier_of(variable->valuestring) == tier &&
            add_override(choice, index, variable->valuestring, tier, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int ecs_services_override(struct ecs_services *services, const struct config *config, size_t room,
                          struct error *err)
{
    struct choice choice = {.services = services, .config = config, .room = room, .ok = true};
    json_delete_wiped(services->overrides);
    services->overrides = cJSON_CreateArray();
    if (services->overrides == NULL) {
        return out_of_memory(err);
    }
    for (enum tier tier = TIER_OWN; tier < TIER_COUNT; tier++) {
        for (size_t i = 0; i < services->count; i++) {
            if (!services->entries[i].wrapped && add_tier(&choice, i, tier, err) < 0) {
                return -1;
            }
        }
    }
    if (choice.left_out > 0) {
        log_warn("%d variables of the job do not fit into the task's overrides and are not passed "
                 "to its services; %s to pass all",
                 choice.left_out, remedy(config));
    }
    return 0;
}

static int write_variables(const struct ecs_service_state *state, struct buffer *out,
                           struct error *err)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, state->variables)
    {
        if (buffer_append(out, variable->valuestring, strlen(variable->valuestring) + 1) < 0) {
            return error_set(err, ERROR_USAGE, 0,
                             "service '%s': its variables have more than %lu bytes", state->name,
                             VARIABLES_CEILING_BYTES);
        }
    }
    return 0;
}

/* Readable by the image's USER, whom nothing here knows: no other container has the volume. */
static int hand_over(const struct ecs_service_state *state, size_t index,
                     const struct backend_helper *helper, int64_t deadline_ms, struct error *err)
{
    static const char script[] = "umask 022 && cat >\"$1.new\" && mv \"$1.new\" \"$1\"";
    char path[96];
    char text[TEXT_BYTES];
    cleanup_buffer struct buffer input;
    (void)snprintf(path, sizeof(path), ECS_SERVICE_HELPER_DIRECTORY "/%zu/" ECS_SERVICE_FILE,
                   index + 1);
    const char *const words[] = {"/bin/sh", "-c", script, "sh", path, NULL};
    buffer_init(&input, VARIABLES_CEILING_BYTES);
    if (write_variables(state, &input, err) < 0) {
        return -1;
    }
    struct backend_command command = {.words = words,
                                      .input = input.bytes,
                                      .input_length = input.length,
                                      .text = text,
                                      .room = sizeof(text)};
    int result = helper->run(helper->context, &command, deadline_ms, err);
    if (result == 0 && command.status != 0) {
        text[strcspn(text, "\n")] = '\0';
        result = error_set(err, ERROR_SYSTEM, 0, "%s", text[0] == '\0' ? "no output" : text);
    }
    return result < 0
               ? error_wrap(err, "cannot pass its variables to the service '%s'", state->name)
               : 0;
}

/* "127.0.0.1:5432", for each port, after 'words'. */
static void add_targets(const struct ecs_service_state *state, char (*targets)[32],
                        const char **words)
{
    for (size_t i = 0; i < state->port_count; i++) {
        (void)snprintf(targets[i], sizeof(targets[i]), "127.0.0.1:%d", state->ports[i]);
        words[i] = targets[i];
    }
}

/* With the end of its log, if that can be read at once. */
static void warn_unready(const struct ecs_service_state *state, size_t index,
                         const struct backend_task *task, bool *reads)
{
    char name[ECS_SERVICE_CONTAINER_BYTES];
    const char *group = task->config->fargate.log_group;
    const char *others = state->port_count > 1 ? " and others" : "";
    cleanup_buffer struct buffer log;
    buffer_init(&log, ECS_SERVICE_TAIL_BYTES);
    ecs_service_container(index, name);
    *reads = *reads && ecs_service_logs_tail(task, index, &log) == 0;
    if (log.length > 0) {
        log_warn("service '%s' is not ready: nothing accepts connections on port %d%s; end of its "
                 "log:",
                 state->name, state->ports[0], others);
        log_lines_warn(log.bytes);
        return;
    }
    log_warn("service '%s' is not ready: nothing accepts connections on port %d%s; its log is "
             "that of the container '%s'%s%s",
             state->name, state->ports[0], others, name, group != NULL ? " in " : "",
             group != NULL ? group : "");
}

/* 'reads': whether logs can be read; reset by a failure, so that only one is waited for. */
static int await_ready(const struct ecs_service_state *state, size_t index,
                       const struct backend_task *task, const struct backend_helper *helper,
                       int64_t until_ms, bool *reads, struct error *err)
{
    char targets[ECS_SERVICE_PORT_CEILING][32];
    char timeout[32];
    char text[TEXT_BYTES];
    const char *words[ECS_SERVICE_PORT_CEILING + 5] = {BACKEND_AGENT_PATH, "await", "--timeout",
                                                       timeout};
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    int64_t left_ms = until_ms - clock_now_ms();
    if (state->port_count == 0) {
        return 0;
    }
    (void)snprintf(timeout, sizeof(timeout), "%lldms", (long long)(left_ms < 1 ? 1 : left_ms));
    add_targets(state, targets, words + 4);
    if (helper->run(helper->context, &command, until_ms + CALL_MS, err) < 0) {
        return error_wrap(err, "cannot check the service '%s'", state->name);
    }
    if (command.status != 0) {
        log_debug("service '%s': %s", state->name, text);
        warn_unready(state, index, task, reads);
    }
    return 0;
}

int ecs_services_settle(struct ecs_services *services, const struct backend_task *task,
                        const struct backend_helper *helper, int64_t deadline_ms, struct error *err)
{
    for (size_t i = 0; i < services->count; i++) {
        if (services->entries[i].wrapped &&
            hand_over(&services->states[i], i, helper, deadline_ms, err) < 0) {
            return -1;
        }
    }
    bool reads = true;
    int64_t until_ms = clock_deadline_ms(task->config->fargate.service_timeout_ms);
    for (size_t i = 0; i < services->count; i++) {
        if (await_ready(&services->states[i], i, task, helper, until_ms, &reads, err) < 0) {
            return -1;
        }
    }
    return 0;
}
