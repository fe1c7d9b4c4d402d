/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/task.h"

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "driver/backend/docker/container.h"
#include "driver/base/json.h"

#define LOG_MS            30000
#define LOG_CEILING_BYTES (4UL << 10)
#define LOG_TAIL_BYTES    600

void docker_task_name(const char *job, enum metadata_container container,
                      char out[DOCKER_TASK_NAME_BYTES])
{
    (void)snprintf(out, DOCKER_TASK_NAME_BYTES, "berth-%s%s", job,
                   container == METADATA_HELPER ? "-helper" : "");
}

const char *docker_container_word(enum metadata_container container)
{
    return container == METADATA_HELPER ? "helper" : "job";
}

int docker_set_state(struct backend_task *task, const char *name, const char *value,
                     struct error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, name);
    return cJSON_AddStringToObject(task->metadata->state, name, value) != NULL
               ? 0
               : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot record the container's name");
}

int docker_end_error(struct docker *docker, const cJSON *container, enum metadata_container which,
                     const char *id, struct error *err)
{
    char tail[LOG_TAIL_BYTES] = "";
    struct buffer text;
    const char *failure = json_text_at(container, "State.Error");
    buffer_init(&text, LOG_CEILING_BYTES);
    docker_container_logs(docker, id, clock_deadline_ms(LOG_MS), &text);
    if (text.length > 0) {
        size_t skip = text.length < sizeof(tail) ? 0 : text.length - (sizeof(tail) - 1);
        const char *cut = skip == 0 ? NULL : strchr(text.bytes + skip, '\n');
        (void)snprintf(tail, sizeof(tail), "%s",
                       cut != NULL && cut[1] != '\0' ? cut + 1 : text.bytes + skip);
    }
    buffer_done(&text);
    for (char *at = tail; *at != '\0'; at++) {
        *at = *at != '\n' ? *at : at[1] == '\0' ? '\0' : ' ';
    }
    return error_set(
        err, ERROR_SYSTEM, 0, "the %s's container exited with code %lld%s%s%s%s%s",
        docker_container_word(which), (long long)json_number_at(container, "State.ExitCode"),
        json_true_at(container, "State.OOMKilled") ? ", out of memory" : "",
        failure != NULL && failure[0] != '\0' ? ": " : "", failure != NULL ? failure : "",
        tail[0] != '\0' ? "; end of its log: " : "", tail);
}
