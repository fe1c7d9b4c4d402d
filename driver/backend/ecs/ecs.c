/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/ecs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "driver/backend/ecs/client.h"

#define FIRST_PAUSE_MS 1000 /* between two DescribeTasks during startup */

const char *ecs_state_text(const struct metadata *metadata, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(metadata->state, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

int ecs_state_set(struct metadata *metadata, const char *name, const char *text, struct error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, name);
    return cJSON_AddStringToObject(metadata->state, name, text) != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot record the task's state");
}

const char *ecs_short_name(const char *arn)
{
    const char *slash = strrchr(arn, '/');
    return slash == NULL ? arn : slash + 1;
}

struct ecs_session *ecs_session_of(struct backend_task *task, struct error *err)
{
    struct ecs_session *session = task->session;
    if (session == NULL) {
        session = calloc(1, sizeof(*session));
        if (session == NULL) {
            (void)error_set(err, ERROR_SYSTEM, errno, "cannot create an AWS client");
            return NULL;
        }
        session->pause_ms = FIRST_PAUSE_MS;
        session->client = ecs_client_new(task->config, task->signals, err);
        if (session->client == NULL) {
            free(session);
            return NULL;
        }
        task->session = session;
    }
    return session;
}

void ecs_progress(const struct backend_task *task, const char *format, ...)
{
    char text[512];
    const struct ecs_session *session = task->session;
    if (task->progress == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (session != NULL && session->launched_ms != 0 && length >= 0 && length < (int)sizeof(text)) {
        (void)snprintf(text + length, sizeof(text) - (size_t)length, " after %.1f s",
                       (double)(clock_now_ms() - session->launched_ms) / 1000);
    }
    task->progress(text);
}
