/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/task_definition.h"

#include <string.h>

#include "driver/base/json.h"

const cJSON *task_definition_container(const cJSON *definition, const char *name)
{
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, json_at(definition, "containerDefinitions"))
    {
        const char *found = json_text_at(container, "name");
        if (found != NULL && strcmp(found, name) == 0) {
            return container;
        }
    }
    return NULL;
}
