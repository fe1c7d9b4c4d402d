/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "driver/backend/ecs/ecs.h"
#include "driver/base/json.h"

#define TERM_STATUS 143
#define KILL_STATUS 137

/* The network interface is an attachment of one of two types. */
static void read_attachment(const cJSON *attachment, struct ecs_view *view)
{
    const char *type = json_text_or_empty(attachment, "type");
    const cJSON *details = cJSON_GetObjectItemCaseSensitive(attachment, "details");
    const cJSON *detail;
    if (strcasecmp(type, "ElasticNetworkInterface") != 0 && strcasecmp(type, "eni") != 0) {
        return;
    }
    cJSON_ArrayForEach(detail, details)
    {
        const char *name = json_text_or_empty(detail, "name");
        if (strcmp(name, "networkInterfaceId") == 0) {
            json_copy_text(view->interface, sizeof(view->interface), detail, "value");
        } else if (strcmp(name, "privateIPv4Address") == 0 ||
                   (strcmp(name, "privateIPv6Address") == 0 && view->address[0] == '\0')) {
            json_copy_text(view->address, sizeof(view->address), detail, "value");
        }
    }
}

/* Containers that end with the task do so by SIGTERM or SIGKILL. */
static bool has_failed(const cJSON *code)
{
    return cJSON_IsNumber(code) && code->valueint != 0 && code->valueint != TERM_STATUS &&
           code->valueint != KILL_STATUS;
}

static void read_containers(const cJSON *containers, const char *own, struct ecs_view *view)
{
    const cJSON *container;
    view->exit_code = -1;
    cJSON_ArrayForEach(container, containers)
    {
        bool ours = strcmp(json_text_or_empty(container, "name"), own) == 0;
        bool fails = !ours && view->failed[0] == '\0';
        const cJSON *code = cJSON_GetObjectItemCaseSensitive(container, "exitCode");
        if (json_text_or_empty(container, "reason")[0] != '\0' &&
            (ours || view->container_reason[0] == '\0')) {
            json_copy_text(view->container_reason, sizeof(view->container_reason), container,
                           "reason");
        }
        if (ours && cJSON_IsNumber(code)) {
            view->exit_code = code->valueint;
        } else if (fails && has_failed(code)) {
            json_copy_text(view->failed, sizeof(view->failed), container, "name");
            view->failed_code = code->valueint;
        }
    }
}

/* ECS writes moments as seconds with a fraction. */
static int64_t moment_ms(const cJSON *task, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(task, name);
    bool valid = cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < 1e11;
    return valid ? (int64_t)(item->valuedouble * 1000) : 0;
}

static void read_task(const cJSON *task, const char *container, struct ecs_view *view)
{
    const cJSON *attachment;
    json_copy_text(view->arn, sizeof(view->arn), task, "taskArn");
    json_copy_text(view->status, sizeof(view->status), task, "lastStatus");
    json_copy_text(view->desired, sizeof(view->desired), task, "desiredStatus");
    json_copy_text(view->provider, sizeof(view->provider), task, "capacityProviderName");
    json_copy_text(view->stop_code, sizeof(view->stop_code), task, "stopCode");
    json_copy_text(view->stopped_reason, sizeof(view->stopped_reason), task, "stoppedReason");
    view->created_ms = moment_ms(task, "createdAt");
    view->pull_ms = moment_ms(task, "pullStartedAt");
    view->pulled_ms = moment_ms(task, "pullStoppedAt");
    view->started_ms = moment_ms(task, "startedAt");
    read_containers(cJSON_GetObjectItemCaseSensitive(task, "containers"), container, view);
    cJSON_ArrayForEach(attachment, cJSON_GetObjectItemCaseSensitive(task, "attachments"))
    {
        read_attachment(attachment, view);
    }
}

void ecs_view_read(const cJSON *task, const char *container, struct ecs_view *out_view)
{
    *out_view = (struct ecs_view){.missing = task == NULL, .exit_code = -1};
    if (task != NULL) {
        read_task(task, container, out_view);
    }
}

bool ecs_view_ends(const struct ecs_view *view)
{
    return strcmp(view->desired, "STOPPED") == 0 || strcmp(view->status, "STOPPED") == 0;
}

int ecs_view_error(const struct ecs_view *view, struct error *err)
{
    char story[900];
    char code[128] = "";
    bool ended_with_it =
        view->exit_code <= 0 || view->exit_code == TERM_STATUS || view->exit_code == KILL_STATUS;
    if (view->failed[0] != '\0' && ended_with_it) {
        (void)snprintf(code, sizeof(code), ", its container '%s' with exit code %d", view->failed,
                       view->failed_code);
    } else if (view->exit_code >= 0) {
        (void)snprintf(code, sizeof(code), ", its container with exit code %d", view->exit_code);
    }
    /* ECS often gives the container's reason as the task's, too. */
    const char *reason =
        strstr(view->stopped_reason, view->container_reason) == NULL ? view->container_reason : "";
    (void)snprintf(story, sizeof(story), "%s%s%s%s%s%s", view->stop_code,
                   view->stop_code[0] != '\0' ? ": " : "",
                   view->stopped_reason[0] != '\0' ? view->stopped_reason : "no reason given",
                   reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "");
    struct ecs_advice advice = ecs_advice_of_stop(story);
    return error_set(err, advice.verdict == ECS_PERMANENT ? ERROR_USAGE : ERROR_SYSTEM, 0,
                     "task %s %s%s: %s%s%s", ecs_short_name(view->arn),
                     strcmp(view->status, "STOPPED") == 0 ? "has stopped" : "is being stopped",
                     code, story, advice.hint != NULL ? "; " : "",
                     advice.hint != NULL ? advice.hint : "");
}
