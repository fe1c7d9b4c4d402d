/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/services.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/host_name.h"
#include "common/log.h"
#include "driver/backend/job_variables.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"
#include "driver/registry/platform.h"
#include "driver/runner/runner.h"

#define SECRET_LEAST 4 /* shorter values would be found in any text; GitLab masks from 8 */

#define VARIABLE_CEILING      4096 /* as the agent */
#define VARIABLE_NAME_CEILING 256
#define NAME_SHOWN            100 /* of a name that may be long */

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's services");
}

/* The names of one service that no other has, into its state and the list of all. */
static int read_names(struct ecs_services *services, struct ecs_service_state *state,
                      const cJSON *service, cJSON *taken, struct error *err)
{
    bool ok = true;
    const cJSON *name = NULL;
    cJSON *names = cJSON_CreateArray();
    service_names_read(service, taken, names, &ok);
    state->names = cJSON_CreateArray();
    cJSON *list =
        json_true_at(service, "alias_varies") ? services->varying_names : services->host_names;
    cJSON_ArrayForEach(name, names)
    {
        if (!host_name_is_valid(name->valuestring)) {
            log_warn("service '%s': ignoring the name '%s', which is not a valid host name here",
                     state->name, name->valuestring);
        } else {
            json_append(state->names, name->valuestring, &ok);
            json_append(list, name->valuestring, &ok);
        }
    }
    cJSON_Delete(names);
    if (cJSON_GetArraySize(services->host_names) + cJSON_GetArraySize(services->varying_names) >
        ECS_HOST_NAME_CEILING) {
        return error_set(err, ERROR_USAGE, 0, "the job's services have more than %d names",
                         ECS_HOST_NAME_CEILING);
    }
    return ok ? 0 : out_of_memory(err);
}

static void append_words(cJSON *words, const cJSON *list, bool *ok)
{
    const cJSON *word = NULL;
    cJSON_ArrayForEach(word, list)
    {
        json_append(words, word->valuestring, ok);
    }
}

/* [""], as in Docker, or another without a program. */
static bool is_none(const cJSON *entrypoint)
{
    const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(entrypoint, 0));
    return first != NULL && first[0] == '\0';
}

/* The words that start the service, if they are known. An entrypoint of the job replaces the
 * image's CMD as well, as in Docker and ECS. */
static int choose_words(struct ecs_service *entry, struct ecs_service_state *state,
                        const cJSON *service, bool with_helper, struct error *err)
{
    bool ok = true;
    const cJSON *entrypoint = json_at(service, "entrypoint");
    const cJSON *command = json_at(service, "command");
    bool has_entrypoint = cJSON_GetArraySize(entrypoint) > 0;
    entry->entrypoint = entrypoint;
    entry->command = command;
    if (is_none(entrypoint) && cJSON_GetArraySize(command) > 0) {
        entry->entrypoint = command;
        entry->command = NULL;
    }
    if (!with_helper || (!has_entrypoint && !state->choice.known)) {
        return 0;
    }
    state->words = cJSON_CreateArray();
    if (has_entrypoint && !is_none(entrypoint)) {
        append_words(state->words, entrypoint, &ok);
    } else if (!has_entrypoint) {
        append_words(state->words, state->choice.facts.entrypoint, &ok);
    }
    if (cJSON_GetArraySize(command) > 0) {
        append_words(state->words, command, &ok);
    } else if (!has_entrypoint) {
        append_words(state->words, state->choice.facts.command, &ok);
    }
    if (cJSON_GetArraySize(state->words) > 0) {
        entry->wrapped = true;
        entry->entrypoint = state->words;
        entry->command = NULL;
    }
    return ok ? 0 : out_of_memory(err);
}

/* HEALTHCHECK_TCP_PORT, else what the image exposes. */
static void choose_ports(struct ecs_service_state *state)
{
    uint16_t port = job_variables_health_port(state->variables, state->name);
    if (port != 0) {
        state->ports[0] = port;
        state->port_count = 1;
    } else if (state->choice.known) {
        memcpy(state->ports, state->choice.facts.ports, sizeof(state->ports));
        state->port_count = state->choice.facts.port_count;
    }
}

static int check_own_ports_of(const struct ecs_service_state *state, const uint16_t *ports,
                              size_t count, const struct config_fargate *fargate, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        int port = ports[i];
        if (port == fargate->job_port || port == fargate->helper_port) {
            (void)error_set(err, ERROR_USAGE, 0,
                            "the service '%s' uses port %d, which is Berth's own", state->name,
                            port);
            return error_hint(err,
                              "containers of a task share their ports; set [Fargate] %s to "
                              "another",
                              port == fargate->job_port ? "JobPort" : "HelperPort");
        }
    }
    return 0;
}

/* Every container listens on all of a task's ports: Berth's two must stay free.
 * HEALTHCHECK_TCP_PORT need not be the only port. */
static int check_own_ports(const struct ecs_service_state *state,
                           const struct config_fargate *fargate, struct error *err)
{
    const struct image_facts *facts = &state->choice.facts;
    size_t exposed = state->choice.known ? facts->port_count : 0;
    return check_own_ports_of(state, state->ports, state->port_count, fargate, err) < 0 ||
                   check_own_ports_of(state, facts->ports, exposed, fargate, err) < 0
               ? -1
               : 0;
}

static int check_ports(const struct ecs_services *services, const struct config *config,
                       struct error *err)
{
    for (size_t i = 0; i < services->count; i++) {
        const struct ecs_service_state *state = &services->states[i];
        if (check_own_ports(state, &config->fargate, err) < 0) {
            return -1;
        }
        if (state->port_count != 1) {
            continue; /* not known, or it may do without one of them */
        }
        for (size_t other = 0; other < i; other++) {
            const struct ecs_service_state *first = &services->states[other];
            if (first->port_count == 1 && first->ports[0] == state->ports[0]) {
                (void)error_set(err, ERROR_USAGE, 0,
                                "the services '%s' and '%s' both use port %d, and containers of a "
                                "task share their ports",
                                first->name, state->name, state->ports[0]);
                return error_hint(err, "give one of them another port, and that in its variable "
                                       "HEALTHCHECK_TCP_PORT");
            }
        }
    }
    return 0;
}

/* All containers of a task run on one processor. */
static int check_platform(const cJSON *service, const char *architecture, struct error *err)
{
    struct image_platform wanted;
    struct image_platform task = {.os = "linux"};
    const char *text = json_text_at(service, "platform");
    (void)snprintf(task.architecture, sizeof(task.architecture), "%s", architecture);
    if (text == NULL ||
        (image_platform_parse(text, &wanted) == 0 && image_platform_fits(&wanted, &task))) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, "its platform is '%s', and the task runs on linux/%s",
                    text, architecture);
    return error_hint(err, "remove it, or set the same for the job's 'image:'");
}

bool ecs_services_hold_secret(const struct ecs_services *services, const char *text)
{
    const cJSON *secret = NULL;
    cJSON_ArrayForEach(secret, services->secrets)
    {
        if (strstr(text, secret->valuestring) != NULL) {
            return true;
        }
    }
    return false;
}

/* Without the words that start it, a service's variables are overrides, which no masked value may
 * be. */
static bool needs_words(const struct ecs_services *services, const struct ecs_services_input *input,
                        const struct ecs_service_state *state, const cJSON *service)
{
    const cJSON *variable = NULL;
    if (!input->with_helper || input->config->fargate.service_secrets_in_overrides ||
        cJSON_GetArraySize(json_at(service, "entrypoint")) > 0) {
        return false;
    }
    cJSON_ArrayForEach(variable, state->variables)
    {
        if (ecs_services_hold_secret(services, variable->valuestring)) {
            return true;
        }
    }
    return false;
}

/* As the agent, which would end with others instead of starting the service. */
static bool name_is_valid(const char *text)
{
    size_t length = strcspn(text, "=");
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return false;
        }
    }
    return length > 0 && length <= VARIABLE_NAME_CEILING;
}

static int check_variables(struct ecs_service_state *state, struct error *err)
{
    int count = cJSON_GetArraySize(state->variables);
    if (count > VARIABLE_CEILING) {
        return error_set(err, ERROR_USAGE, 0,
                         "service '%s': it has %d variables, more than the %d that can be passed",
                         state->name, count, VARIABLE_CEILING);
    }
    for (int i = count - 1; i >= 0; i--) {
        const char *text = cJSON_GetArrayItem(state->variables, i)->valuestring;
        int length = (int)strcspn(text, "=");
        if (!name_is_valid(text)) {
            log_warn("service '%s': ignoring its variable '%.*s', whose name is not valid",
                     state->name, length < NAME_SHOWN ? length : NAME_SHOWN, text);
            cJSON_DeleteItemFromArray(state->variables, i);
        }
    }
    return 0;
}

static int read_service(struct ecs_services *services, const struct ecs_services_input *input,
                        const cJSON *service, cJSON *taken, struct error *err)
{
    struct ecs_service *entry = &services->entries[services->count];
    struct ecs_service_state *state = &services->states[services->count];
    services->count++;
    state->name = json_text_or_empty(service, "name");
    state->variables = cJSON_Duplicate(json_at(service, "env"), 1);
    if (state->variables == NULL) {
        state->variables = cJSON_CreateArray();
    }
    if (check_platform(service, input->architecture, err) < 0 ||
        input->choose(input->context, state->name, needs_words(services, input, state, service),
                      &state->choice, err) < 0) {
        return error_wrap(err, "service '%s'", state->name);
    }
    entry->image = (struct ecs_image){state->choice.image, state->choice.secret};
    entry->user = json_text_at(service, "user");
    if (choose_words(entry, state, service, input->with_helper, err) < 0 ||
        (entry->wrapped && check_variables(state, err) < 0)) {
        return -1;
    }
    choose_ports(state);
    return read_names(services, state, service, taken, err);
}

static void read_secrets(struct ecs_services *services, const cJSON *response, bool *ok)
{
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(response, "variables"))
    {
        const char *key = json_text_at(variable, "key");
        const char *value =
            key != NULL && json_true_at(variable, "masked") ? runner_variable(key) : NULL;
        if (value != NULL && strlen(value) >= SECRET_LEAST) {
            json_append(services->secrets, value, ok);
        }
    }
}

int ecs_services_read(struct ecs_services *services, const struct ecs_services_input *input,
                      struct error *err)
{
    bool ok = true;
    const cJSON *service = NULL;
    int count = cJSON_GetArraySize(input->services);
    int room = ECS_SERVICE_CEILING - (int)input->sidecars;
    *services = (struct ecs_services){.host_names = cJSON_CreateArray(),
                                      .varying_names = cJSON_CreateArray(),
                                      .secrets = cJSON_CreateArray()};
    if (count > 0 && count > room) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job has %d services, more than the %d that fit into a task beside "
                         "its own three containers and %zu others of the task definition",
                         count, room < 0 ? 0 : room, input->sidecars);
    }
    read_secrets(services, input->response, &ok);
    cJSON *taken = cJSON_CreateArray();
    int result = ok && taken != NULL ? 0 : out_of_memory(err);
    cJSON_ArrayForEach(service, input->services)
    {
        result = result < 0 ? -1 : read_service(services, input, service, taken, err);
    }
    cJSON_Delete(taken);
    return result < 0 ? -1 : check_ports(services, input->config, err);
}

void ecs_services_done(struct ecs_services *services)
{
    for (size_t i = 0; i < services->count; i++) {
        struct ecs_service_state *state = &services->states[i];
        cJSON_Delete(state->names);
        cJSON_Delete(state->words);
        json_delete_wiped(state->variables);
        image_choice_done(&state->choice);
    }
    cJSON_Delete(services->host_names);
    cJSON_Delete(services->varying_names);
    json_delete_wiped(services->secrets);
    json_delete_wiped(services->overrides);
    *services = (struct ecs_services){0};
}
