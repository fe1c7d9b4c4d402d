/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_image.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_name.h"
#include "driver/backend/docker_variables.h"
#include "driver/json.h"

static const char *name_of(const cJSON *service)
{
    const char *name = json_text_at(service, "name");
    return name == NULL ? "" : name;
}

void docker_service_container(const char *job, int index, char out[DOCKER_SERVICE_NAME_BYTES])
{
    (void)snprintf(out, DOCKER_SERVICE_NAME_BYTES, "berth-%s-service-%d", job, index);
}

static int check_service(const struct config *config, const cJSON *service, struct error *err)
{
    struct docker_name name;
    const char *text = json_text_at(service, "name");
    if (text == NULL || docker_name_parse(text, &name) < 0) {
        return error_set(err, ERROR_USAGE, 0, "the service '%s' is no name of an image",
                         text == NULL ? "" : text);
    }
    if (!docker_name_allowed(&config->docker.allowed_services, text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the service '%s' is not allowed here; [Docker] AllowedServices of this "
                         "runner %s",
                         text,
                         config->docker.allowed_services.count == 0 ? "is empty" : "has no match");
    }
    if (docker_name_may_be_id(text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the service '%s' may be an id; a job names an image by its name and tag",
                         text);
    }
    return 0;
}

int docker_services_parse(const struct config *config, const char *text, cJSON **out_services,
                          struct error *err)
{
    *out_services = NULL;
    if (text == NULL) {
        return 0;
    }
    cJSON *services = cJSON_Parse(text);
    int count = cJSON_GetArraySize(services);
    int result = 0;
    if (!cJSON_IsArray(services)) {
        result = error_set(err, ERROR_USAGE, 0, "CI_JOB_SERVICES is no JSON array");
    } else if (count > DOCKER_SERVICE_CEILING) {
        result = error_set(err, ERROR_USAGE, 0, "the job has %d services, more than %d", count,
                           DOCKER_SERVICE_CEILING);
    }
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
    {
        result = result < 0 ? -1 : check_service(config, service, err);
    }
    if (result < 0 || count == 0) {
        cJSON_Delete(services);
        return result;
    }
    *out_services = services;
    return 0;
}

int docker_services_ensure_images(struct docker *docker, const cJSON *services, struct error *err)
{
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
    {
        if (docker_image_ensure(docker, name_of(service), err) < 0) {
            return error_wrap(err, "service");
        }
    }
    return 0;
}

static bool is_host_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < DOCKER_ALIAS_BYTES && text[0] != '-' &&
           text[strspn(
               text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

/* "alias: db,database" names several; blanks part them as well. */
void docker_service_aliases(const cJSON *service, cJSON *out_names, bool *ok)
{
    char word[DOCKER_ALIAS_BYTES];
    char made[2][DOCKER_ALIAS_BYTES];
    struct docker_name name;
    const char *alias = json_text_at(service, "alias");
    for (const char *at = alias == NULL ? "" : alias; *at != '\0';) {
        at += strspn(at, ", \t");
        size_t length = strcspn(at, ", \t");
        (void)snprintf(word, sizeof(word), "%.*s",
                       (int)(length < sizeof(word) ? length : sizeof(word) - 1), at);
        if (is_host_name(word)) {
            json_append(out_names, word, ok);
        } else if (length > 0) {
            log_warn("service '%s': '%s' is no host name, not used", name_of(service), word);
        }
        at += length;
    }
    if (docker_name_parse(name_of(service), &name) == 0) {
        docker_name_aliases(&name, made);
        for (size_t i = 0; i < 2; i++) {
            if (made[i][0] != '\0') {
                json_append(out_names, made[i], ok);
            }
        }
    }
}

/* 'entrypoint' and 'command' replace the image's when the job names them. */
static void copy_words(cJSON *body, const char *to, const cJSON *service, const char *from,
                       bool *ok)
{
    const cJSON *words = json_at(service, from);
    const cJSON *word = NULL;
    if (!cJSON_IsArray(words) || cJSON_GetArraySize(words) == 0) {
        return;
    }
    cJSON *list = json_array(body, to, ok);
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word)) {
            json_append(list, word->valuestring, ok);
        }
    }
}

/* [{"key":"A","value":"b"}] or {"A":"b"}: a service's own variables come over the job's. */
static void add_variables(cJSON *body, const cJSON *service, bool *ok)
{
    cJSON *list = json_array(body, "Env", ok);
    docker_variables_public(list, ok);
    const cJSON *variable = NULL;
    cJSON_ArrayForEach(variable, json_at(service, "variables"))
    {
        const char *key =
            cJSON_IsObject(variable) ? json_text_at(variable, "key") : variable->string;
        const char *value = cJSON_IsObject(variable)   ? json_text_at(variable, "value")
                            : cJSON_IsString(variable) ? variable->valuestring
                                                       : NULL;
        if (key != NULL && value != NULL) {
            json_append_format(list, ok, "%s=%s", key, value);
        }
    }
}

static cJSON *service_body(const struct config *config, const cJSON *service, const char *job,
                           const char *network, struct error *err)
{
    bool ok = true;
    cJSON *body = cJSON_CreateObject();
    json_text(body, "Image", name_of(service), &ok);
    copy_words(body, "Entrypoint", service, "entrypoint", &ok);
    copy_words(body, "Cmd", service, "command", &ok);
    add_variables(body, service, &ok);
    cJSON *labels = docker_job_labels(config, job, "service", &ok);
    ok = cJSON_AddItemToObject(body, "Labels", labels) && ok;
    cJSON *host = json_object(body, "HostConfig", &ok);
    json_text(host, "NetworkMode", network, &ok);
    docker_job_limits(&config->docker, host, &ok); /* what runs in it is the job's choice as well */
    cJSON *endpoints =
        json_object(json_object(body, "NetworkingConfig", &ok), "EndpointsConfig", &ok);
    cJSON *endpoint = json_object(endpoints, network, &ok);
    docker_service_aliases(service, json_array(endpoint, "Aliases", &ok), &ok);
    if (!ok) {
        cJSON_Delete(body);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the service");
        return NULL;
    }
    return body;
}

static int start_one(struct docker *docker, const cJSON *service, const char *name, const char *job,
                     const char *network, int64_t deadline_ms, struct error *err)
{
    char id[DOCKER_ID_BYTES];
    cJSON *body = service_body(docker->config, service, job, network, err);
    if (body == NULL) {
        return -1;
    }
    int result = docker_container_create(docker, name, job, body, deadline_ms, id, err);
    cJSON_Delete(body);
    return result < 0 ? -1 : docker_container_start(docker, id, deadline_ms, err);
}

int docker_services_start(struct docker *docker, const cJSON *services, const char *job,
                          const char *network, int64_t deadline_ms, struct error *err)
{
    int index = 0;
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
    {
        char name[DOCKER_SERVICE_NAME_BYTES];
        docker_service_container(job, index++, name);
        if (start_one(docker, service, name, job, network, deadline_ms, err) < 0) {
            return error_wrap(err, "cannot start the service '%s'", name_of(service));
        }
    }
    return 0;
}
