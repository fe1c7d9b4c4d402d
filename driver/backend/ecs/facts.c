/* SPDX-License-Identifier: MIT */
/* What the history of jobs needs to know of a task: its size, what it runs on, its image. */
#include <string.h>

#include "common/parse.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/base/json.h"
#include "driver/history/entry.h"

#define CPU_UNITS   1024.0
#define MIB_PER_GIB 1024.0

double ecs_number_in_text(const cJSON *object, const char *name)
{
    int64_t number = 0;
    return parse_integer(json_text_or_empty(object, name), 0, INT64_MAX, &number) == 0
               ? (double)number
               : 0;
}

bool ecs_is_elsewhere(const cJSON *task)
{
    const char *type = json_text_or_empty(task, "launchType");
    const char *provider = json_text_or_empty(task, "capacityProviderName");
    return (type[0] != '\0' && strcmp(type, "FARGATE") != 0) ||
           (provider[0] != '\0' && strncmp(provider, "FARGATE", strlen("FARGATE")) != 0);
}

static const char *image_of(const cJSON *task, const char *container)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(task, "containers"))
    {
        if (strcmp(json_text_or_empty(entry, "name"), container) == 0) {
            return json_text_or_empty(entry, "image");
        }
    }
    return "";
}

void ecs_record_facts(struct metadata *metadata, const cJSON *task, const char *container)
{
    bool ok = true;
    const char *provider = json_text_or_empty(task, "capacityProviderName");
    const char *image = image_of(task, container);
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, HISTORY_FACTS);
    cJSON *facts = json_object(metadata->state, HISTORY_FACTS, &ok);
    if (facts == NULL) {
        return;
    }
    (void)cJSON_AddNumberToObject(facts, "vcpus", ecs_number_in_text(task, "cpu") / CPU_UNITS);
    (void)cJSON_AddNumberToObject(facts, "memory_gib",
                                  ecs_number_in_text(task, "memory") / MIB_PER_GIB);
    json_bool(facts, "spot", strcmp(provider, "FARGATE_SPOT") == 0, &ok);
    json_bool(facts, "elsewhere", ecs_is_elsewhere(task), &ok);
    if (image[0] != '\0' && strlen(image) < HISTORY_TEXT_BYTES) {
        json_text(facts, "image", image, &ok);
    }
}
