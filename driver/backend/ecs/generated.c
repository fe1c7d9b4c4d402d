/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/generated.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/base.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/service_logs.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/registry/ecr_name.h"
#include "driver/registry/name.h"
#include "driver/registry/platform.h"
#include "driver/runner/runner.h"

#define FETCH_MS       120000 /* base and look-ups */
#define KEYWORDS_BYTES 256

bool ecs_generates(const struct config *config)
{
    return config->fargate.image != NULL || config->fargate.allowed_images.named;
}

static const struct job_keywords_rules *rules_of(const struct config *config,
                                                 struct job_keywords_rules *out)
{
    *out = (struct job_keywords_rules){.section = "Fargate",
                                       .image = config->fargate.image,
                                       .allowed_images = &config->fargate.allowed_images,
                                       .allowed_services = &config->fargate.allowed_services,
                                       .is_published = true};
    return out;
}

/* The job's 'image:', of JOB_RESPONSE_FILE or else of its variable. */
static bool job_has_image(const cJSON *response)
{
    const char *name = json_text_at(response, "image.name");
    const char *variable = runner_variable("CI_JOB_IMAGE");
    return json_at(response, "image") != NULL ? name != NULL && name[0] != '\0' : variable != NULL;
}

static int read_response(cJSON **out_response, struct error *err)
{
    struct runner runner;
    struct error ignored; /* about exit codes, which are not used here */
    (void)!runner_read(&runner, &ignored);
    return runner_read_response(&runner, out_response, err);
}

bool ecs_job_is_generated(const struct config *config)
{
    struct error ignored; /* the stage reports it */
    cJSON *response = NULL;
    if (!ecs_generates(config) || config->is_exec || config->fargate.image != NULL) {
        return ecs_generates(config) && config->fargate.image != NULL &&
               (!config->is_exec || config->fargate.task_definition == NULL);
    }
    bool found = read_response(&response, &ignored) == 0 && job_has_image(response);
    json_delete_wiped(response);
    return found;
}

int ecs_generated_request(const struct config *config, struct job_keywords *out_request,
                          struct error *err)
{
    struct job_keywords_rules rules;
    return job_keywords_read(rules_of(config, &rules), config, out_request, err);
}

/* Another image than the job's runs. */
static void warn_of_keywords(const struct config *config)
{
    char keywords[KEYWORDS_BYTES];
    struct runner runner;
    struct error ignored;
    (void)!runner_read(&runner, &ignored);
    if (!config->is_exec) {
        runner_job_keywords(&runner, keywords, sizeof(keywords));
        if (keywords[0] != '\0') {
            log_warn("the backend 'ecs' ignores %s of this job", keywords);
        }
    }
}

/* What choose() needs. */
struct chooser {
    const struct backend_task *task;
    struct aws_client *client;
    const struct runner *runner;
    const char *architecture; /* Docker's name */
    const struct config_list *patterns;
    struct lookup_budget budget; /* of all images of the job but those that are needed */
};

static int choose(void *context, const char *name, bool is_needed, struct image_choice *out_choice,
                  struct error *err)
{
    struct chooser *chooser = context;
    const struct image_request request = {.config = chooser->task->config,
                                          .runner = chooser->runner,
                                          .name = name,
                                          .patterns = chooser->patterns,
                                          .architecture = chooser->architecture,
                                          .aws = chooser->client,
                                          .signals = chooser->task->signals,
                                          .budget = is_needed ? NULL : &chooser->budget,
                                          .is_needed = is_needed};
    return image_choose(&request, out_choice, err);
}

/* "ARM64", "X86_64", as the job asks by 'docker: {platform}'; NULL: it asks for none. */
static int choose_processor(const struct job_keywords *request, const char **out_processor,
                            struct error *err)
{
    struct image_platform platform;
    const char *text = json_text_at(request->image, "platform");
    *out_processor = NULL;
    if (text == NULL) {
        return 0;
    }
    if (image_platform_parse(text, &platform) == 0 && strcmp(platform.os, "linux") == 0) {
        if (strcmp(platform.architecture, "arm64") == 0) {
            *out_processor = "ARM64";
        } else if (strcmp(platform.architecture, "amd64") == 0) {
            *out_processor = "X86_64";
        }
        if (*out_processor != NULL || platform.architecture[0] == '\0') { /* "linux": any */
            return 0;
        }
    }
    return error_set(err, ERROR_USAGE, 0,
                     "the job's image: the platform '%s' does not exist on ECS; use linux/amd64 or "
                     "linux/arm64",
                     text);
}

/* The words of 'entrypoint:'; none if the first is empty, as in [""]. Without a helper GitLab's own
 * scripts run in this container too, for which the words are not meant. */
static const cJSON *entrypoint_of(const struct ecs_generated *generated)
{
    const cJSON *words = json_at(generated->request.image, "entrypoint");
    const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(words, 0));
    return generated->with_helper && first != NULL && first[0] != '\0' ? words : NULL;
}

/* [Helper] Use = "never": the job's image must bring git and gitlab-runner. */
static void choose_helper(struct backend_task *task, struct ecs_generated *generated)
{
    const struct config *config = task->config;
    bool never = strcmp(config->helper.use, "never") == 0;
    generated->with_helper = !config->is_exec && !never;
    task->wants_git = !config->is_exec && never;
    if (!generated->with_helper) {
        job_keywords_warn(&generated->request);
    }
}

static int make_definition(const struct backend_task *task, struct ecs_generated *generated,
                           const char *processor, const char *region, struct error *err)
{
    const struct config *config = task->config;
    const struct ecs_plan plan = {
        .config = config,
        .region = region,
        .base = json_at(generated->base, "taskDefinition"),
        .agent = {generated->agent.image, generated->agent.secret},
        .helper = {generated->helper.image, generated->helper.secret},
        .job = {generated->job.image, generated->job.secret},
        .with_helper = generated->with_helper,
        .privileged = generated->privileged,
        .compatibility = generated->capacity == ECS_CAPACITY_FARGATE
                             ? NULL
                             : ecs_capacity_compatibility(generated->capacity),
        .plain_umask = runner_flag("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR"),
        .services_see_builds = config->services.builds,
        .user = json_text_at(generated->request.image, "user"),
        .processor = processor,
        .entrypoint = entrypoint_of(generated),
        .host_names = generated->services.host_names,
        .services = generated->services.entries,
        .service_count = generated->services.count,
    };
    generated->definition = ecs_definition_make(&plan, err);
    return generated->definition == NULL ? -1 : 0;
}

static int choose_images(struct ecs_generated *generated, struct chooser *chooser,
                         const cJSON *response, struct error *err)
{
    const struct config *config = chooser->task->config;
    const char *name = json_text_or_empty(generated->request.image, "name");
    const cJSON *base = json_at(generated->base, "taskDefinition");
    const struct ecs_services_input input = {
        .config = config,
        .services = generated->request.services,
        .response = response,
        .with_helper = generated->with_helper,
        .architecture = chooser->architecture,
        .sidecars =
            base == NULL ? 0 : ecs_definition_sidecars(base, config->fargate.container_name),
        .choose = choose,
        .context = chooser,
    };
    bool configured = config->fargate.image != NULL && strcmp(config->fargate.image, name) == 0;
    chooser->patterns = configured ? NULL : &config->fargate.allowed_images;
    if (choose(chooser, name, false, &generated->job, err) < 0) {
        return -1;
    }
    chooser->patterns = NULL;
    if (choose(chooser, config->helper.agent_image, false, &generated->agent, err) < 0) {
        return error_wrap(err, "[Helper] AgentImage");
    }
    if (generated->with_helper &&
        (helper_image_name(config, chooser->architecture, generated->helper_name, err) < 0 ||
         choose(chooser, generated->helper_name, false, &generated->helper, err) < 0)) {
        return error_wrap(err, "the helper's image");
    }
    chooser->patterns = &config->fargate.allowed_services;
    return ecs_services_read(&generated->services, &input, err);
}

/* Which containers run privileged, and whether they can. */
static int choose_privileges(struct ecs_generated *generated, const struct config *config,
                             struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    struct ecs_services *services = &generated->services;
    const char *name = json_text_or_empty(generated->request.image, "name");
    const char *refused = NULL;
    bool managed = generated->capacity == ECS_CAPACITY_MANAGED;
    char what[IMAGE_CHOICE_BYTES];
    generated->privileged = image_name_allowed(&fargate->privileged_images, name);
    if (generated->privileged && !managed) {
        refused = name;
    }
    for (size_t i = 0; i < services->count; i++) {
        services->entries[i].privileged =
            image_name_allowed(&fargate->privileged_services, services->states[i].name);
        if (services->entries[i].privileged && !managed && refused == NULL) {
            refused = services->states[i].name;
        }
    }
    if (refused == NULL) {
        return 0;
    }
    (void)snprintf(what, sizeof(what), "the job's %s '%s'", refused == name ? "image" : "service",
                   refused);
    return ecs_capacity_not_privileged(what, ecs_capacity_text(generated->capacity), err);
}

static int check_network_mode(const cJSON *base, struct error *err)
{
    const char *mode = json_text_at(base, "networkMode");
    if (base == NULL || mode == NULL || strcmp(mode, "awsvpc") == 0) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, "the network mode of the task definition '%s' is '%s'",
                    json_text_or_empty(base, "taskDefinitionArn"), mode);
    return error_hint(err, "register it with \"networkMode\": \"awsvpc\": each task needs an "
                           "address of its own");
}

static int check_agent_image(const struct config *config, struct error *err)
{
    if (config->helper.agent_image != NULL) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "a job with an image of its own needs [Helper] AgentImage, from which "
                    "berth-agent is copied into its task");
    return error_hint(err, "%s", program_push_hint());
}

static int read_request(const struct config *config, struct job_keywords *request,
                        struct error *err)
{
    struct job_keywords_rules rules;
    if (!config->is_exec) {
        return job_keywords_read(rules_of(config, &rules), config, request, err);
    }
    *request = (struct job_keywords){.image = cJSON_CreateObject()};
    return request->image != NULL &&
                   cJSON_AddStringToObject(request->image, "name", config->fargate.image) != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the job's request");
}

/* Fargate keeps no images, so each task downloads its own. */
static void note_image(const struct ecs_generated *generated, const char *region,
                       struct backend_start *start)
{
    const struct image_choice *job = &generated->job;
    struct ecr_name ecr;
    struct image_name name;
    bool in_ecr = ecr_name_parse(job->image, &ecr) == 0;
    bool elsewhere = in_ecr && strcmp(ecr.region, region) != 0;
    start->image_bytes = job->known ? job->facts.compressed_bytes : 0;
    start->from_hub = image_name_parse(job->image, &name) == 0 &&
                      image_name_is_hub(name.registry, strlen(name.registry));
    if (elsewhere) {
        (void)snprintf(start->image_region, sizeof(start->image_region), "%s", ecr.region);
        (void)snprintf(start->task_region, sizeof(start->task_region), "%s", region);
    }
    start->lacks_soci_index = generated->capacity == ECS_CAPACITY_FARGATE && in_ecr && job->known &&
                              !job->facts.has_soci_index;
}

static int fill(struct backend_task *task, struct ecs_session *session, const cJSON *response,
                struct error *err)
{
    const struct config *config = task->config;
    struct ecs_generated *generated = session->generated;
    const int64_t deadline_ms = clock_deadline_ms(FETCH_MS);
    const char *processor = NULL;
    struct runner runner;
    struct error ignored;
    (void)!runner_read(&runner, &ignored);
    if (read_request(config, &generated->request, err) < 0 || check_agent_image(config, err) < 0 ||
        choose_processor(&generated->request, &processor, err) < 0 ||
        (config->fargate.task_definition != NULL &&
         ecs_base_read(session->client, config, task->signals, deadline_ms, &generated->base, err) <
             0)) {
        return -1;
    }
    const cJSON *base = json_at(generated->base, "taskDefinition");
    if (check_network_mode(base, err) < 0 ||
        ecs_capacity_find(session->client, config, task->signals, deadline_ms, &generated->capacity,
                          err) < 0) {
        return -1;
    }
    const char *of_task = processor != NULL ? processor : ecs_definition_processor(base);
    struct chooser chooser = {.task = task,
                              .client = session->client,
                              .runner = config->is_exec ? NULL : &runner,
                              .architecture = strcmp(of_task, "ARM64") == 0 ? "arm64" : "amd64"};
    lookup_budget_init(&chooser.budget);
    choose_helper(task, generated);
    if (choose_images(generated, &chooser, response, err) < 0 ||
        choose_privileges(generated, config, err) < 0 ||
        make_definition(task, generated, processor, aws_client_region(session->client), err) < 0) {
        return -1;
    }
    note_image(generated, aws_client_region(session->client), &task->start);
    return ecs_registration_init(&generated->registration, session->client, config, task->signals,
                                 generated->definition, json_at(generated->base, "tags"), err);
}

/* As before there were generated definitions. */
static int fetch_classic(const struct config *config, struct error *err)
{
    warn_of_keywords(config);
    if (config->fargate.task_definition != NULL) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, "the job has no image");
    return error_hint(err, "set 'image:' in the job, or [Fargate] Image or TaskDefinition");
}

int ecs_fetch(struct backend_task *task, struct error *err)
{
    cJSON *response = NULL;
    if (!ecs_job_is_generated(task->config)) {
        return fetch_classic(task->config, err);
    }
    struct ecs_session *session = ecs_session_of(task, err);
    if (session == NULL || read_response(&response, err) < 0) {
        return -1;
    }
    ecs_generated_free(session->generated);
    session->generated = calloc(1, sizeof(*session->generated));
    int result = session->generated == NULL
                     ? error_set(err, ERROR_SYSTEM, errno, "cannot read the job's image")
                     : fill(task, session, response, err);
    json_delete_wiped(response);
    return result;
}

/* The length of the overrides as they are now. */
static int measure(const struct backend_task *task, size_t *out_length, struct error *err)
{
    const struct ecs_placement ask = {
        .form = ECS_FORM_DEFAULT, .subnet = "", .token = ecs_state_text(task->metadata, "token")};
    cJSON *request = ecs_request_new(task, &ask, err);
    char *text = request == NULL ? NULL : cJSON_PrintUnformatted(json_at(request, "overrides"));
    *out_length = text == NULL ? 0 : strlen(text);
    json_delete_wiped(request);
    if (request != NULL && text == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the RunTask request");
    }
    if (text != NULL) {
        sodium_memzero(text, *out_length); /* it has the host keys */
    }
    cJSON_free(text);
    return *out_length == 0 ? -1 : 0;
}

int ecs_generated_plan(struct backend_task *task, struct error *err)
{
    const struct ecs_session *session = task->session;
    struct ecs_generated *generated = session == NULL ? NULL : session->generated;
    size_t length = 0;
    if (generated == NULL) {
        return 0;
    }
    task->metadata->has_helper = generated->with_helper;
    /* The name alone says that the definition is generated, until it has an ARN. */
    if (ecs_state_set(task->metadata, ECS_STATE_DEFINITION, generated->registration.family, err) <
            0 ||
        ecs_state_set(task->metadata, BACKEND_BUILDS, ECS_BUILDS_DIRECTORY, err) < 0 ||
        (generated->with_helper &&
         ecs_state_set(task->metadata, BACKEND_HELPER_IMAGE, generated->helper.image, err) < 0) ||
        measure(task, &length, err) < 0) {
        return -1;
    }
    return ecs_services_override(&generated->services, task->config, ECS_OVERRIDES_CEILING - length,
                                 err);
}

int ecs_settle(struct backend_task *task, const struct backend_helper *helper, int64_t deadline_ms,
               struct error *err)
{
    struct ecs_session *session = task->session;
    struct ecs_generated *generated = session == NULL ? NULL : session->generated;
    if (generated == NULL) {
        return 0;
    }
    if (ecs_service_logs_init(task, generated->definition, &generated->services,
                              aws_client_region(session->client), err) < 0) {
        return -1;
    }
    int64_t begun_ms = clock_now_ms();
    int result = ecs_services_settle(&generated->services, task, helper, deadline_ms, err);
    task->start.services_ms = generated->services.count > 0 ? clock_now_ms() - begun_ms : 0;
    return result;
}

void ecs_generated_free(struct ecs_generated *generated)
{
    if (generated == NULL) {
        return;
    }
    ecs_services_done(&generated->services);
    job_keywords_done(&generated->request);
    image_choice_done(&generated->job);
    image_choice_done(&generated->helper);
    image_choice_done(&generated->agent);
    cJSON_Delete(generated->base);
    cJSON_Delete(generated->definition);
    free(generated);
}
