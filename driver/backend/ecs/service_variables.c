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
#include "common/cleanup.h"
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
#define ROUND_MS                1000
#define EXIT_MS                 1000
#define LOG_MS                  2000 /* until the last lines of a service are in CloudWatch Logs */
#define LOG_PAUSE_MS            500
#define DOCUMENT_BYTES          (128UL << 10) /* of the task metadata endpoint */

#define NAMED_LEFT_OUT 4 /* of the variables that get no room */

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
    cJSON *left_out; /* names, array of texts */
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

/* Two services may lack the same variable. */
static void note_left_out(struct choice *choice, const char *name)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, choice->left_out)
    {
        if (strcmp(entry->valuestring, name) == 0) {
            return;
        }
    }
    json_append(choice->left_out, name, &choice->ok);
}

static void warn_of_left_out(const struct choice *choice)
{
    char names[512] = "";
    size_t length = 0;
    int count = cJSON_GetArraySize(choice->left_out);
    for (int i = 0; i < count && i < NAMED_LEFT_OUT; i++) {
        int wrote = snprintf(names + length, sizeof(names) - length, "%s%.100s", i > 0 ? ", " : "",
                             cJSON_GetArrayItem(choice->left_out, i)->valuestring);
        length += wrote > 0 ? (size_t)wrote : 0;
    }
    if (count > 0) {
        log_warn("%d variables of the job do not fit into the task's overrides and are not passed "
                 "to its services: %s%s; %s to pass all",
                 count, names, count > NAMED_LEFT_OUT ? ", ..." : "", remedy(choice->config));
    }
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
        note_left_out(choice, json_text_or_empty(entry, "name"));
        json_delete_wiped(entry);
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

static int add_tiers(struct choice *choice, struct error *err)
{
    const struct ecs_services *services = choice->services;
    for (enum tier tier = TIER_OWN; tier < TIER_COUNT; tier++) {
        for (size_t i = 0; i < services->count; i++) {
            if (!services->entries[i].wrapped && add_tier(choice, i, tier, err) < 0) {
                return -1;
            }
        }
    }
    return choice->ok ? 0 : out_of_memory(err);
}

int ecs_services_override(struct ecs_services *services, const struct config *config, size_t room,
                          struct error *err)
{
    struct choice choice = {.services = services,
                            .config = config,
                            .room = room,
                            .left_out = cJSON_CreateArray(),
                            .ok = true};
    json_delete_wiped(services->overrides);
    services->overrides = cJSON_CreateArray();
    int result = services->overrides == NULL || choice.left_out == NULL ? out_of_memory(err)
                                                                        : add_tiers(&choice, err);
    if (result == 0) {
        warn_of_left_out(&choice);
    }
    cJSON_Delete(choice.left_out);
    return result;
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

/* What an image exposes is not known without its look-up; then nothing can be waited for. */
static void warn_of_unknown_ports(const struct ecs_services *services)
{
    for (size_t i = 0; i < services->count; i++) {
        const struct ecs_service_state *state = &services->states[i];
        if (state->port_count == 0 && !state->choice.known) {
            log_warn("service '%s': not checked whether it is ready, as the ports of its image are "
                     "not known (%s); set its variable HEALTHCHECK_TCP_PORT",
                     state->name, state->choice.unknown);
        }
    }
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

/* The wait for the services of one task. */
struct waiting {
    const struct backend_task *task;
    const struct backend_helper *helper;
    int64_t until_ms;
    int64_t exited_ms; /* a service that exits at once has done so by then */
    bool reads; /* whether logs can be read; reset by a failure, so that only one is waited for */
};

/* With the end of its log, if that can be read soon. */
static void warn(struct waiting *waiting, const struct ecs_service_state *state, size_t index,
                 const char *what)
{
    char name[ECS_SERVICE_CONTAINER_BYTES];
    const struct backend_task *task = waiting->task;
    const char *group = task->config->fargate.log_group;
    int64_t until_ms = clock_deadline_ms(LOG_MS);
    cleanup_buffer struct buffer log;
    buffer_init(&log, ECS_SERVICE_TAIL_BYTES);
    ecs_service_container(index, name);
    do {
        waiting->reads = waiting->reads && ecs_service_logs_tail(task, index, &log) == 0;
    } while (waiting->reads && log.length == 0 && clock_now_ms() < until_ms &&
             signals_wait(task->signals, -1, clock_deadline_ms(LOG_PAUSE_MS)) == 0);
    if (log.length > 0) {
        log_warn("service '%s' %s; end of its log:", state->name, what);
        log_lines_warn(log.bytes);
        return;
    }
    log_warn("service '%s' %s; its log is that of the container '%s'%s%s", state->name, what, name,
             group != NULL ? " in " : "", group != NULL ? group : "");
}

/* Fills 'what' if the service's container has stopped. The task's own metadata has the states of
 * its containers, so this is no call of ECS. */
static int find_stopped(const struct waiting *waiting, size_t index, char *what, size_t room,
                        struct error *err)
{
    static const char *const words[] = {BACKEND_AGENT_PATH, "task-metadata", NULL};
    char name[ECS_SERVICE_CONTAINER_BYTES];
    const cJSON *container = NULL;
    cleanup_free char *document = malloc(DOCUMENT_BYTES);
    struct backend_command command = {.words = words, .text = document, .room = DOCUMENT_BYTES};
    if (document == NULL || waiting->helper->run(waiting->helper->context, &command,
                                                 waiting->until_ms + CALL_MS, err) < 0) {
        return document == NULL ? out_of_memory(err) : -1;
    }
    cJSON *task = command.status == 0 ? cJSON_Parse(document) : NULL;
    ecs_service_container(index, name);
    cJSON_ArrayForEach(container, json_at(task, "Containers"))
    {
        const cJSON *code = cJSON_GetObjectItemCaseSensitive(container, "ExitCode");
        if (strcmp(json_text_or_empty(container, "Name"), name) != 0 ||
            strcmp(json_text_or_empty(container, "KnownStatus"), "STOPPED") != 0) {
            continue;
        }
        (void)snprintf(what, room, "has stopped, continuing without it");
        if (cJSON_IsNumber(code)) {
            (void)snprintf(what, room, "exited with code %d, continuing without it",
                           code->valueint);
        }
    }
    cJSON_Delete(task);
    return 0;
}

/* Whether one of the service's ports accepts a connection within a round: 1, 0, or -1. */
static int accepts(const struct waiting *waiting, const struct ecs_service_state *state,
                   struct error *err)
{
    char targets[ECS_SERVICE_PORT_CEILING][32];
    char timeout[32];
    char text[TEXT_BYTES];
    const char *words[ECS_SERVICE_PORT_CEILING + 5] = {BACKEND_AGENT_PATH, "await", "--timeout",
                                                       timeout};
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    int64_t left_ms = clock_earlier_ms(waiting->until_ms - clock_now_ms(), ROUND_MS);
    (void)snprintf(timeout, sizeof(timeout), "%lldms", (long long)(left_ms < 1 ? 1 : left_ms));
    add_targets(state, targets, words + 4);
    if (waiting->helper->run(waiting->helper->context, &command, waiting->until_ms + CALL_MS, err) <
        0) {
        return -1;
    }
    if (command.status != 0) {
        log_debug("service '%s': %s", state->name, text);
    }
    return command.status == 0 ? 1 : 0;
}

/* Until it accepts connections or has stopped. Without a known port it is ready unless it exits at
 * once. */
static int await_ready(struct waiting *waiting, const struct ecs_service_state *state, size_t index,
                       bool wrapped, struct error *err)
{
    char what[128] = "";
    bool has_port = state->port_count > 0;
    int ready = 0;
    if (!has_port && wrapped) { /* it has just got its variables */
        (void)signals_wait(waiting->task->signals, -1, waiting->exited_ms);
    }
    do {
        ready = has_port ? accepts(waiting, state, err) : 0;
        if (ready < 0 ||
            (ready == 0 && find_stopped(waiting, index, what, sizeof(what), err) < 0)) {
            return error_wrap(err, "cannot check the service '%s'", state->name);
        }
    } while (has_port && ready == 0 && what[0] == '\0' && clock_now_ms() < waiting->until_ms);
    if (has_port && ready == 0 && what[0] == '\0') {
        (void)snprintf(what, sizeof(what), "is not ready: nothing accepts connections on port %d%s",
                       state->ports[0], state->port_count > 1 ? " and others" : "");
    }
    if (what[0] != '\0') {
        warn(waiting, state, index, what);
    }
    return 0;
}

int ecs_services_settle(struct ecs_services *services, const struct backend_task *task,
                        const struct backend_helper *helper, int64_t deadline_ms, struct error *err)
{
    warn_of_unknown_ports(services);
    for (size_t i = 0; i < services->count; i++) {
        if (services->entries[i].wrapped &&
            hand_over(&services->states[i], i, helper, deadline_ms, err) < 0) {
            return -1;
        }
    }
    const cJSON *logs =
        cJSON_GetObjectItemCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS);
    struct waiting waiting = {.task = task,
                              .helper = helper,
                              .until_ms =
                                  clock_deadline_ms(task->config->fargate.service_timeout_ms),
                              .exited_ms = clock_deadline_ms(EXIT_MS),
                              .reads = logs != NULL};
    for (size_t i = 0; i < services->count; i++) {
        if (await_ready(&waiting, &services->states[i], i, services->entries[i].wrapped, err) < 0) {
            return -1;
        }
    }
    return 0;
}
