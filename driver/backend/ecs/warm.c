/* SPDX-License-Identifier: MIT */
/*
 * Tasks that are launched ahead of their jobs: what a job asks for is its RunTask request, without
 * what differs between tasks, and for a job with an image of its own what the task definition is
 * generated from. A job's tags are added when it claims the task.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/generated.h"

#define NO_NAME        "wish"
#define GENERATED_NAME "generated"
/* The processor of the helper's image: it is only compared. */
#define ANY_PROCESSOR "amd64"

/* The request of a task without a name, with keys of zeroes. */
static cJSON *make_request(const struct config *config, bool generated, struct error *err)
{
    const struct ecs_placement ask = {.form = ECS_FORM_DEFAULT, .subnet = "", .token = ""};
    struct backend_task task = {.config = config, .metadata = metadata_new(NO_NAME, "ecs", err)};
    cJSON *request = NULL;
    if (task.metadata != NULL && ecs_state_set(task.metadata, "started_by", NO_NAME, err) == 0 &&
        (!generated ||
         ecs_state_set(task.metadata, ECS_STATE_DEFINITION, GENERATED_NAME, err) == 0)) {
        request = ecs_request_new(&task, &ask, err);
    }
    metadata_free(task.metadata);
    return request;
}

/* A secret of the file opens an image to a job only after a look-up with the job's own login, so
 * such a job starts cold. */
static int describe_generated(const struct config *config, struct buffer *out_text,
                              struct error *err)
{
    static const char *const except[] = {"Image", NULL};
    static const char *const none[] = {NULL};
    const char *base = config->fargate.task_definition;
    bool never = strcmp(config->helper.use, "never") == 0;
    char helper[HELPER_IMAGE_BYTES] = "";
    struct job_keywords request;
    if (config->fargate.registry_secrets.count > 0 && !config->fargate.registry_secrets_shared) {
        return 0;
    }
    int result = ecs_generated_request(config, &request, err);
    if (result == 0 && request.services == NULL) {
        result = (!never && helper_image_name(config, ANY_PROCESSOR, helper, err) < 0) ||
                         job_keywords_describe(&request, out_text, err) < 0 ||
                         config_describe(config, "Helper", except, out_text, err) < 0 ||
                         config_describe(config, "Services", none, out_text, err) < 0
                     ? -1
                     : 1;
        if (result == 1 &&
            buffer_printf(out_text, "base %s\nhelper %s\n", base == NULL ? "" : base, helper) < 0) {
            result = job_keywords_too_long(err);
        }
    }
    job_keywords_done(&request);
    return result;
}

static int describe_request(const struct config *config, bool generated, struct buffer *out_text,
                            struct error *err)
{
    cJSON *request = make_request(config, generated, err);
    if (request == NULL) {
        return -1;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(request, "tags");
    char *text = cJSON_PrintUnformatted(request);
    cJSON_Delete(request);
    int result =
        text == NULL || buffer_printf(out_text, "%s\n", text) < 0 ? job_keywords_too_long(err) : 0;
    cJSON_free(text);
    return result;
}

int ecs_requirements(const struct config *config, struct buffer *out_text, struct error *err)
{
    /* What the request says, or what has no effect on a task that runs. */
    static const char *const except[] = {
        "Image",
        "AllowedImages",
        "AllowedServices",
        "TaskDefinition",
        "PlatformVersion",
        "AllowedTaskDefinitions",
        "Cpu",
        "Memory",
        "EphemeralStorage",
        "MaxCpu",
        "MaxMemory",
        "MaxEphemeralStorage",
        "TaskRole",
        "ExecutionRole",
        "AllowedPlatformVersions",
        "Tags",
        "AllowedTaskRoles",
        "AllowedExecutionRoles",
        "LaunchTimeout",
        "ServiceTimeout",
        "WatchInterval",
        "CallsPerSecond",
        "DefinitionAge",
        NULL,
    };
    /* A profile may be of another account, which has the same names. */
    static const char *const tags[] = {"SessionTags", NULL};
    bool generated = ecs_job_is_generated(config);
    int result = generated ? describe_generated(config, out_text, err) : 1;
    if (result <= 0) {
        return result;
    }
    return describe_request(config, generated, out_text, err) < 0 ||
                   config_describe(config, "AWS", tags, out_text, err) < 0 ||
                   config_describe(config, "Fargate", except, out_text, err) < 0
               ? -1
               : 1;
}

int ecs_claimed(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    const struct ecs_session *session = NULL;
    const char *arn = ecs_state_text(task->metadata, "arn");
    struct aws_failure failure;
    cJSON *answer = NULL;
    if (task->config->fargate.tags.count == 0 || arn == NULL) {
        return 0;
    }
    cJSON *request = cJSON_CreateObject();
    int result = request == NULL || cJSON_AddStringToObject(request, "resourceArn", arn) == NULL
                     ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot tag the task")
                     : ecs_request_tags(task->config, request, err);
    if (result == 0) {
        session = ecs_session_of(task, err);
        result = session == NULL ? -1
                                 : aws_ecs(session->client, "TagResource", request, deadline_ms,
                                           &answer, &failure, err);
    }
    cJSON_Delete(request);
    cJSON_Delete(answer);
    return result < 0 ? error_wrap(err, "cannot add the job's tags to its task") : 0;
}
