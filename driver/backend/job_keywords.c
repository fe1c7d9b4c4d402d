/* SPDX-License-Identifier: MIT */
#include "driver/backend/job_keywords.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/options.h"
#include "driver/backend/job_variables.h"
#include "driver/base/json.h"
#include "driver/registry/name.h"
#include "driver/registry/platform.h"
#include "driver/runner/runner.h"

/* Where a keyword comes from. */
struct source {
    const cJSON *response; /* JOB_RESPONSE_FILE; NULL: none */
    const cJSON *value;    /* of the keyword; NULL: the job has none */
    bool is_expanded;      /* by the runner: what the job wrote is not known */
};

/* An 'image:' or service while it is read. */
struct reading {
    const struct job_keywords_rules *rules;
    const char *what; /* "image" or "service" */
    const cJSON *from;
    struct job_variables variables;
    bool is_expanded;
    cJSON *to;
    bool ok; /* no allocation has failed */
};

static int not_understood(const struct reading *reading, const char *key, const char *wanted,
                          struct error *err)
{
    return error_set(err, ERROR_USAGE, 0, "the job's %s: '%s' is not %s", reading->what, key,
                     wanted);
}

/* 'raw' is what the job wrote: a value that its author spells out is no secret. */
static int check_masked(const struct reading *reading, const char *key, const char *raw,
                        const char *text, struct error *err)
{
    const char *name = reading->rules->is_published
                           ? job_variables_masked(reading->variables.response,
                                                  reading->is_expanded ? "" : raw, text)
                           : NULL;
    if (name == NULL) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "the job's %s: '%s' contains the value of the masked variable %s, which users "
                    "with access to the task definition could read",
                    reading->what, key, name);
    return error_hint(err, "use a variable that is not masked");
}

/* A text, or a number for a user; expanded. */
static int take_text(struct reading *reading, const char *path, const char *key, struct error *err)
{
    const cJSON *item = json_at(reading->from, path);
    char number[32];
    const char *text = cJSON_GetStringValue(item);
    if (item == NULL || cJSON_IsNull(item)) {
        return 0;
    }
    if (cJSON_IsNumber(item) && strcmp(key, "user") == 0 && item->valuedouble >= 0 &&
        item->valuedouble == (double)json_number_at(reading->from, path)) {
        (void)snprintf(number, sizeof(number), "%lld",
                       (long long)json_number_at(reading->from, path));
        text = number;
    }
    if (text == NULL) {
        return not_understood(reading, key, "a text", err);
    }
    char *expanded = job_variables_expand(&reading->variables, text, err);
    if (expanded == NULL) {
        return -1;
    }
    int result = check_masked(reading, key, text, expanded, err);
    if (result == 0 && expanded[0] != '\0') {
        json_text(reading->to, key, expanded, &reading->ok);
    }
    free(expanded);
    return result;
}

static int take_word(struct reading *reading, const char *key, cJSON *to, const char *word,
                     struct error *err)
{
    json_append(to, word, &reading->ok);
    return check_masked(reading, key, word, word, err);
}

/* Not expanded, as in the runner. */
static int take_list(struct reading *reading, const char *key, struct error *err)
{
    const cJSON *list = json_at(reading->from, key);
    const cJSON *entry = NULL;
    if (list == NULL || cJSON_IsNull(list)) {
        return 0;
    }
    cJSON *to = json_array(reading->to, key, &reading->ok);
    if (cJSON_IsString(list)) {
        return take_word(reading, key, to, list->valuestring, err);
    }
    if (!cJSON_IsArray(list)) {
        return not_understood(reading, key, "a list of texts", err);
    }
    cJSON_ArrayForEach(entry, list)
    {
        if (!cJSON_IsString(entry)) {
            return not_understood(reading, key, "a list of texts", err);
        }
        if (take_word(reading, key, to, entry->valuestring, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* [{"key": "A", "value": "b", "raw": false}], or {"A": "b"} in CI_JOB_SERVICES, where the runner
 * has expanded them. */
static int take_variables(struct reading *reading, struct error *err)
{
    const cJSON *list = json_at(reading->from, "variables");
    const cJSON *variable = NULL;
    cJSON *env = json_array(reading->to, "env", &reading->ok);
    job_variables_public(reading->variables.response, env, &reading->ok);
    cJSON_ArrayForEach(variable, list)
    {
        const char *key = cJSON_IsArray(list) ? json_text_at(variable, "key") : variable->string;
        const char *value =
            cJSON_IsArray(list) ? json_text_at(variable, "value") : cJSON_GetStringValue(variable);
        if (key == NULL || value == NULL) {
            return not_understood(reading, "variables", "a list of keys and values", err);
        }
        bool raw = !cJSON_IsArray(list) || json_true_at(variable, "raw");
        char *expanded = raw ? NULL : job_variables_expand(&reading->variables, value, err);
        if (!raw && expanded == NULL) {
            return -1;
        }
        job_variables_set(env, key, raw ? value : expanded, &reading->ok);
        free(expanded);
    }
    return 0;
}

/* What the job wrote is not known if the runner has expanded it. */
static int take_alias(struct reading *reading, struct error *err)
{
    const char *raw = json_text_at(reading->from, "alias");
    if (raw != NULL && (reading->is_expanded || strchr(raw, '$') != NULL)) {
        json_bool(reading->to, "alias_varies", true, &reading->ok);
    }
    return take_text(reading, "alias", "alias", err);
}

/* With variables that are empty or not set, a name may be nothing: then it is not the same as a
 * name that the job leaves out. */
static int check_not_empty(const struct reading *reading, struct error *err)
{
    const char *raw = json_text_at(reading->from, "name");
    if (raw == NULL || raw[0] == '\0' || json_text_at(reading->to, "name") != NULL) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, "the job's %s '%s' is an empty name", reading->what, raw);
    return error_hint(err, "set its variables");
}

static int check_name(const struct reading *reading, const struct config_list *allowed,
                      const char *list_name, struct error *err)
{
    struct image_name name;
    const char *text = json_text_at(reading->to, "name");
    if (check_not_empty(reading, err) < 0) {
        return -1;
    }
    if (text == NULL || image_name_parse(text, &name) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "the job's %s '%s' is not a valid image name",
                        reading->what, text == NULL ? "" : text);
        return text != NULL ? image_name_hint(text, err) : -1;
    }
    if (!image_name_allowed(allowed, text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's %s '%s' is not allowed; [%s] %s of this runner %s",
                         reading->what, text, reading->rules->section, list_name,
                         allowed->count == 0 ? "is empty" : "has no match");
    }
    if (image_name_may_be_id(text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's %s '%s' may be an image id; use a name and tag", reading->what,
                         text);
    }
    return 0;
}

static int check_platform(const struct reading *reading, bool has_agent, struct error *err)
{
    struct image_platform platform;
    const char *text = json_text_at(reading->to, "platform");
    if (text == NULL) {
        return 0;
    }
    if (image_platform_parse(text, &platform) < 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's %s: the platform '%s' is not valid; write it as in "
                         "'linux/amd64'",
                         reading->what, text);
    }
    if (!has_agent || reading->rules->processor == NULL) {
        return 0;
    }
    struct image_platform ours = {.os = "linux"};
    (void)snprintf(ours.architecture, sizeof(ours.architecture), "%s", reading->rules->processor);
    if (!image_platform_fits(&platform, &ours)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's image: its platform is '%s', but this berth-agent is built for "
                         "linux/%s; set [Docker] Agent to a berth-agent for that platform",
                         text, reading->rules->processor);
    }
    return 0;
}

/* The keys of both 'image:' and services. */
static int take_common(struct reading *reading, const struct config *config, struct error *err)
{
    if (take_text(reading, "name", "name", err) < 0 ||
        take_text(reading, "executor_opts.docker.user", "user", err) < 0 ||
        take_text(reading, "executor_opts.docker.platform", "platform", err) < 0 ||
        take_list(reading, "entrypoint", err) < 0 || take_list(reading, "pull_policy", err) < 0) {
        return -1;
    }
    if (reading->rules->check_policies == NULL) {
        return 0;
    }
    return reading->rules->check_policies(config, json_at(reading->to, "pull_policy"), err) < 0
               ? error_wrap(err, "the job's %s", reading->what)
               : 0;
}

/* From the command line, the job's 'image:' if it is allowed, or the configuration. */
static int read_image(const struct job_keywords_rules *rules, const struct config *config,
                      const struct source *source, struct job_keywords *keywords, struct error *err)
{
    struct reading reading = {.rules = rules,
                              .what = "image",
                              .from = source->value,
                              .variables = {.response = source->response},
                              .is_expanded = source->is_expanded,
                              .to = keywords->image,
                              .ok = true};
    struct image_name name;
    if (take_common(&reading, config, err) < 0) {
        return -1;
    }
    if (cJSON_GetArraySize(json_at(keywords->image, "entrypoint")) > OPTION_LIST_CEILING) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's image: 'entrypoint' has more than %d words",
                         OPTION_LIST_CEILING);
    }
    if (rules->image_is_fixed) {
        cJSON_DeleteItemFromObjectCaseSensitive(keywords->image, "name");
    } else if (check_not_empty(&reading, err) < 0) {
        return -1;
    }
    if (config->image_platform != NULL && json_text_at(keywords->image, "platform") == NULL) {
        json_text(keywords->image, "platform", config->image_platform, &reading.ok);
    }
    const char *wanted = json_text_at(keywords->image, "name");
    if (wanted == NULL && rules->image == NULL) {
        return error_set(err, ERROR_USAGE, 0, "no image; set 'image:' in the job%s [%s] Image",
                         rules->has_option ? ", --image, or" : " or", rules->section);
    }
    if (wanted == NULL) {
        json_text(keywords->image, "name", rules->image, &reading.ok);
        if (image_name_parse(rules->image, &name) < 0) {
            (void)(rules->image_is_fixed
                       ? error_set(err, ERROR_OPTION, 0, "--image: '%s' is not a valid image name",
                                   rules->image)
                       : error_set(err, ERROR_USAGE, 0,
                                   "[%s] Image: '%s' is not a valid image name", rules->section,
                                   rules->image));
            return image_name_hint(rules->image, err);
        }
    } else if ((rules->image == NULL || strcmp(wanted, rules->image) != 0) &&
               check_name(&reading, rules->allowed_images, "AllowedImages", err) < 0) {
        return -1;
    }
    if (!reading.ok) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's image");
    }
    return check_platform(&reading, true, err);
}

static int read_service(const struct job_keywords_rules *rules, const struct config *config,
                        const cJSON *from, const struct source *source, cJSON *services,
                        struct error *err)
{
    const cJSON *own = json_at(from, "variables");
    struct reading reading = {
        .rules = rules,
        .what = "service",
        .from = from,
        .variables = {.own = cJSON_IsArray(own) ? own : NULL, .response = source->response},
        .is_expanded = source->is_expanded,
        .to = cJSON_CreateObject(),
        .ok = true};
    if (!cJSON_AddItemToArray(services, reading.to)) {
        cJSON_Delete(reading.to);
        reading.ok = false;
    } else if (take_common(&reading, config, err) < 0 || take_alias(&reading, err) < 0 ||
               take_list(&reading, "command", err) < 0 || take_variables(&reading, err) < 0 ||
               check_name(&reading, rules->allowed_services, "AllowedServices", err) < 0) {
        return -1;
    }
    if (!reading.ok) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's services");
    }
    return check_platform(&reading, false, err);
}

static int read_services(const struct job_keywords_rules *rules, const struct config *config,
                         const struct source *source, struct job_keywords *keywords,
                         struct error *err)
{
    const cJSON *from = source->value;
    int count = cJSON_GetArraySize(from);
    const cJSON *service = NULL;
    if (from == NULL || cJSON_IsNull(from)) {
        return 0;
    }
    if (!cJSON_IsArray(from)) {
        return error_set(err, ERROR_USAGE, 0, "the job's services are not a list");
    }
    if (count > JOB_SERVICE_CEILING) {
        return error_set(err, ERROR_USAGE, 0, "the job has %d services, more than %d", count,
                         JOB_SERVICE_CEILING);
    }
    if (count == 0) {
        return 0;
    }
    keywords->services = cJSON_CreateArray();
    if (keywords->services == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's services");
    }
    cJSON_ArrayForEach(service, from)
    {
        if (read_service(rules, config, service, source, keywords->services, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* {"name": ...} from a variable alone. */
static cJSON *image_of_variable(void)
{
    const char *name = runner_variable("CI_JOB_IMAGE");
    cJSON *image = cJSON_CreateObject();
    if (name != NULL) {
        (void)cJSON_AddStringToObject(image, "name", name);
    }
    return image;
}

static int services_of_variable(cJSON **out_services, struct error *err)
{
    const char *text = runner_variable("CI_JOB_SERVICES");
    *out_services = text == NULL ? NULL : cJSON_Parse(text);
    return text == NULL || cJSON_IsArray(*out_services)
               ? 0
               : error_set(err, ERROR_USAGE, 0, "CI_JOB_SERVICES is not a valid JSON array");
}

static int read_job(const struct job_keywords_rules *rules, const struct config *config,
                    struct job_keywords *keywords, struct error *err)
{
    struct runner runner;
    struct error ignored; /* about exit codes, which are not used here */
    cJSON *response = NULL;
    cJSON *named_image = image_of_variable();
    cJSON *named_services = NULL;
    (void)!runner_read(&runner, &ignored);
    int result = runner_read_response(&runner, &response, err);
    struct source image = {response, json_at(response, "image"), false};
    struct source services = {response, json_at(response, "services"), false};
    if (result == 0 && services.value == NULL) {
        result = services_of_variable(&named_services, err);
        services = (struct source){response, named_services, true};
    }
    if (image.value == NULL) {
        image = (struct source){response, named_image, true};
    } else if (result == 0 && !cJSON_IsObject(image.value) && !cJSON_IsNull(image.value)) {
        result = error_set(err, ERROR_USAGE, 0, "the job's image is not an object");
    }
    if (result == 0) {
        result = read_image(rules, config, &image, keywords, err);
    }
    if (result == 0) {
        result = read_services(rules, config, &services, keywords, err);
    }
    json_delete_wiped(response);
    json_delete_wiped(named_image);
    json_delete_wiped(named_services);
    return result;
}

static int new_keywords(struct job_keywords *keywords, struct error *err)
{
    *keywords = (struct job_keywords){.image = cJSON_CreateObject()};
    return keywords->image != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's keywords");
}

int job_keywords_read(const struct job_keywords_rules *rules, const struct config *config,
                      struct job_keywords *keywords, struct error *err)
{
    return new_keywords(keywords, err) < 0 ? -1 : read_job(rules, config, keywords, err);
}

int job_keywords_read_image(const struct job_keywords_rules *rules, const struct config *config,
                            struct job_keywords *keywords, struct error *err)
{
    const struct source none = {NULL, NULL, false};
    return new_keywords(keywords, err) < 0 ? -1 : read_image(rules, config, &none, keywords, err);
}

void job_keywords_done(struct job_keywords *keywords)
{
    json_delete_wiped(keywords->image);
    json_delete_wiped(keywords->services);
    *keywords = (struct job_keywords){0};
}

int job_keywords_too_long(struct error *err)
{
    return error_set(err, ERROR_LIMIT, 0, "what the job asks for is too long to compare");
}

static int write_image(const cJSON *image, struct buffer *out, struct error *err)
{
    static const char *const keys[] = {"name", "user", "platform"};
    static const char *const lists[] = {"entrypoint", "pull_policy"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (buffer_printf(out, "%s %s\n", keys[i], json_text_or_empty(image, keys[i])) < 0) {
            return job_keywords_too_long(err);
        }
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const cJSON *list = json_at(image, lists[i]);
        char *text = list == NULL ? NULL : cJSON_PrintUnformatted(list);
        int result = buffer_printf(out, "%s %s\n", lists[i], text == NULL ? "" : text);
        cJSON_free(text);
        if (result < 0) {
            return job_keywords_too_long(err);
        }
    }
    return 0;
}

static int write_variables(struct buffer *out, struct error *err)
{
    static const char *const names[] = {"FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = runner_variable(names[i]);
        if (value != NULL && buffer_printf(out, "%s=%s\n", names[i], value) < 0) {
            return job_keywords_too_long(err);
        }
    }
    return 0;
}

int job_keywords_describe(const struct job_keywords *keywords, struct buffer *out,
                          struct error *err)
{
    return write_image(keywords->image, out, err) < 0 ? -1 : write_variables(out, err);
}

void job_keywords_warn(const struct job_keywords *keywords)
{
    const cJSON *word = NULL;
    cJSON_ArrayForEach(word, json_at(keywords->image, "entrypoint"))
    {
        if (word->valuestring[0] != '\0') {
            log_warn("the job's image: 'entrypoint' is ignored without a helper container");
            return;
        }
    }
}
