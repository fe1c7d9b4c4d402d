/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/log_events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/ecs/ecs.h"
#include "driver/base/json.h"

static bool read_place(const cJSON *container, const char *name, const char *arn,
                       const char *region, struct ecs_log_place *out_place)
{
    const cJSON *options = json_at(container, "logConfiguration.options");
    const char *group = json_text_or_empty(options, "awslogs-group");
    const char *prefix = json_text_or_empty(options, "awslogs-stream-prefix");
    const char *elsewhere = json_text_at(options, "awslogs-region");
    if (region != NULL && elsewhere != NULL && strcmp(region, elsewhere) != 0) {
        return false;
    }
    if (strcmp(json_text_or_empty(container, "logConfiguration.logDriver"), "awslogs") != 0 ||
        group[0] == '\0' || prefix[0] == '\0') {
        return false;
    }
    int group_length = snprintf(out_place->group, ECS_LOG_NAME_BYTES, "%s", group);
    int stream_length = snprintf(out_place->stream, ECS_LOG_NAME_BYTES, "%s/%s/%s", prefix, name,
                                 ecs_short_name(arn));
    return group_length < ECS_LOG_NAME_BYTES && stream_length < ECS_LOG_NAME_BYTES;
}

bool ecs_log_place_find(const cJSON *definition, const char *container, const char *arn,
                        const char *region, struct ecs_log_place *out_place)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, json_at(definition, "containerDefinitions"))
    {
        if (strcmp(json_text_or_empty(entry, "name"), container) == 0) {
            return read_place(entry, container, arn, region, out_place);
        }
    }
    return false;
}

int ecs_log_events(struct aws_client *client, const char *group, const char *stream,
                   const struct ecs_log_page *page, int64_t deadline_ms, cJSON **out_answer,
                   struct aws_failure *out_failure, struct error *err)
{
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    *out_failure = (struct aws_failure){0};
    json_text(request, "logGroupName", group, &ok);
    json_text(request, "logStreamName", stream, &ok);
    json_bool(request, "startFromHead", !page->from_end, &ok);
    if (page->token != NULL && page->token[0] != '\0') {
        json_text(request, "nextToken", page->token, &ok);
    }
    if (page->limit > 0) {
        json_number(request, "limit", page->limit, &ok);
    }
    int result =
        ok ? aws_logs(client, "GetLogEvents", request, deadline_ms, out_answer, out_failure, err)
           : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot call GetLogEvents");
    cJSON_Delete(request);
    return result;
}
