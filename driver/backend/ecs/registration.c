/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/registration.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/pace.h"
#include "driver/base/json.h"

#define CALL_MS           60000
#define MEETING_LEAST_MS  300 /* pause after another host registered the same */
#define MEETING_SPREAD_MS 700
#define MEETING_CEILING   8

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot register the task definition");
}

static int64_t call_deadline_ms(int64_t deadline_ms)
{
    return clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS));
}

void ecs_registration_file(const struct aws_client *client, const char *family,
                           char out[ECS_STORE_NAME_BYTES])
{
    ecs_store_name(client, family, "", out);
}

int ecs_registration_init(struct ecs_registration *registration, struct aws_client *client,
                          const struct config *config, struct signals *signals,
                          const cJSON *definition, const cJSON *tags, struct error *err)
{
    char prefix[ECS_PREFIX_BYTES];
    *registration = (struct ecs_registration){.client = client,
                                              .config = config,
                                              .signals = signals,
                                              .definition = definition,
                                              .tags = tags};
    if (ecs_definition_hash(definition, registration->hash, err) < 0) {
        return -1;
    }
    ecs_definition_prefix(aws_client_region(client), config->fargate.cluster, prefix);
    (void)snprintf(registration->family, sizeof(registration->family), "%s%s", prefix,
                   registration->hash);
    ecs_registration_file(client, registration->family, registration->file);
    return 0;
}

/* Whether the text is the ARN of a revision of the family, and nothing else. */
static bool is_arn_of(const char *arn, const char *family)
{
    const char *name = ecs_short_name(arn);
    size_t length = strlen(family);
    return strlen(arn) < ECS_ARN_BYTES && strncmp(arn, "arn:", 4) == 0 &&
           strncmp(name, family, length) == 0 && name[length] == ':' &&
           strspn(name + length + 1, "0123456789") == strlen(name + length + 1);
}

static bool read_stored(struct ecs_registration *registration)
{
    int64_t age_s = 0;
    cleanup_buffer struct buffer text;
    buffer_init(&text, ECS_ARN_BYTES);
    if (!ecs_store_read(registration->config, registration->file,
                        registration->config->fargate.definition_age_ms / 1000, &text, &age_s) ||
        !is_arn_of(text.bytes, registration->family)) {
        return false;
    }
    (void)snprintf(registration->arn, sizeof(registration->arn), "%s", text.bytes);
    registration->known_ms = clock_now_ms() - age_s * 1000;
    return true;
}

static void keep(struct ecs_registration *registration, const char *arn)
{
    (void)snprintf(registration->arn, sizeof(registration->arn), "%s", arn);
    registration->known_ms = clock_now_ms();
    ecs_store_write(registration->config, registration->file, arn);
}

/* The base's tags without AWS's own, which only AWS may set. */
static void add_tags(const struct ecs_registration *registration, cJSON *request, bool *ok)
{
    const cJSON *tag = NULL;
    cJSON *tags = NULL;
    cJSON_ArrayForEach(tag, registration->tags)
    {
        if (strncasecmp(json_text_or_empty(tag, "key"), "aws:", 4) != 0) {
            tags = tags != NULL ? tags : json_array(request, "tags", ok);
            *ok = *ok && cJSON_AddItemToArray(tags, cJSON_Duplicate(tag, 1));
        }
    }
}

static cJSON *register_request(const struct ecs_registration *registration)
{
    bool ok = true;
    cJSON *request = cJSON_Duplicate(registration->definition, 1);
    json_text(request, "family", registration->family, &ok);
    add_tags(registration, request, &ok);
    if (!ok) {
        cJSON_Delete(request);
        return NULL;
    }
    return request;
}

/* Another host registers the same content at this moment. */
static bool is_meeting(const struct error *err)
{
    return strcasestr(err->message, "too many concurrent attempts") != NULL;
}

static int add_advice(const struct aws_failure *failure, struct error *err)
{
    struct ecs_advice advice = ecs_advice_of_refusal(err->message);
    if (advice.hint != NULL && err->hint[0] == '\0') {
        (void)error_hint(err, "%s", advice.hint);
    }
    if (failure->permanent) {
        err->kind = ERROR_USAGE;
    }
    return error_wrap(err, "cannot register the task definition of this job");
}

/* 1: registered; 0: another host was at it; -1: an error. */
static int call_register(struct ecs_registration *registration, int64_t deadline_ms,
                         struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    cJSON *request = register_request(registration);
    if (request == NULL) {
        return out_of_memory(err);
    }
    int result = aws_ecs(registration->client, "RegisterTaskDefinition", request,
                         call_deadline_ms(deadline_ms), &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        return is_meeting(err) ? 0 : add_advice(&failure, err);
    }
    const char *arn = json_text_or_empty(answer, "taskDefinition.taskDefinitionArn");
    if (is_arn_of(arn, registration->family)) {
        log_info("registered the task definition '%s'", ecs_short_name(arn));
        keep(registration, arn);
        result = 1;
    } else {
        result = error_set(err, ERROR_PEER, 0,
                           "RegisterTaskDefinition: not a valid AWS response for the family '%s'",
                           registration->family);
    }
    cJSON_Delete(answer);
    return result;
}

/* The latest ACTIVE revision: 1; 0: there is none; -1: an error. */
static int find_latest(struct ecs_registration *registration, int64_t deadline_ms,
                       struct error *err)
{
    struct aws_failure failure;
    bool ok = true;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "taskDefinition", registration->family, &ok);
    if (!ok) {
        cJSON_Delete(request);
        return out_of_memory(err);
    }
    int result =
        ecs_pace_wait(registration->signals, ecs_pace_reserve(registration->config, "describe"),
                      deadline_ms, err);
    if (result == 0 && aws_ecs(registration->client, "DescribeTaskDefinition", request,
                               call_deadline_ms(deadline_ms), &answer, &failure, err) < 0) {
        /* "Unable to describe task definition." */
        result = failure.permanent && strcmp(failure.code, "ClientException") == 0
                     ? 0
                     : add_advice(&failure, err);
    } else if (result == 0) {
        const char *arn = json_text_or_empty(answer, "taskDefinition.taskDefinitionArn");
        if (strcmp(json_text_or_empty(answer, "taskDefinition.status"), "ACTIVE") == 0 &&
            is_arn_of(arn, registration->family)) {
            keep(registration, arn);
            result = 1;
        }
        cJSON_Delete(answer);
    }
    cJSON_Delete(request);
    return result;
}

static int register_it(struct ecs_registration *registration, int64_t deadline_ms,
                       struct error *err)
{
    for (int meeting = 0; meeting < MEETING_CEILING; meeting++) {
        if (ecs_pace_wait(registration->signals, ecs_pace_register(registration->config),
                          deadline_ms, err) < 0) {
            return -1;
        }
        int result = call_register(registration, deadline_ms, err);
        if (result != 0) {
            return result < 0 ? -1 : 0;
        }
        int64_t pause_ms = MEETING_LEAST_MS + randombytes_uniform(MEETING_SPREAD_MS);
        if (ecs_pace_wait(registration->signals, clock_deadline_ms(pause_ms), deadline_ms, err) <
            0) {
            return -1;
        }
        result = find_latest(registration, deadline_ms, err);
        if (result != 0) {
            return result < 0 ? -1 : 0;
        }
    }
    return error_wrap(err, "cannot register the task definition of this job");
}

int ecs_registration_ensure(struct ecs_registration *registration, int64_t deadline_ms,
                            struct error *err)
{
    if (read_stored(registration)) {
        return 0;
    }
    cleanup_fd int lock = ecs_store_lock(registration->config, registration->file,
                                         registration->signals, deadline_ms);
    if (lock >= 0 && read_stored(registration)) {
        return 0;
    }
    /* Few contents are new: a good time to remove entries that are no longer used. */
    ecs_store_sweep(registration->config, registration->config->fargate.definition_age_ms / 1000);
    return register_it(registration, deadline_ms, err);
}

int ecs_registration_renew(struct ecs_registration *registration, int64_t deadline_ms,
                           struct error *err)
{
    char refused[ECS_ARN_BYTES];
    memcpy(refused, registration->arn, sizeof(refused));
    cleanup_fd int lock = ecs_store_lock(registration->config, registration->file,
                                         registration->signals, deadline_ms);
    (void)lock; /* held until the return */
    if (read_stored(registration) && strcmp(registration->arn, refused) != 0) {
        return 0; /* another process was faster */
    }
    ecs_store_remove(registration->config, registration->file);
    int found = find_latest(registration, deadline_ms, err);
    if (found != 0) {
        return found < 0 ? -1 : 0;
    }
    log_info("the task definition '%s' is gone, registering it again", refused);
    return register_it(registration, deadline_ms, err);
}
