/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/logs.h"

#include "driver/backend/docker/api.h"
#include "driver/backend/docker/stream.h"
#include "driver/backend/docker/task.h"
#include "driver/backend/log_lines.h"
#include "driver/base/json.h"

#define PATH_BYTES 512
#define LOG_BYTES  (16UL << 20)

static int fetch(struct docker *docker, const char *id, int64_t deadline_ms, struct buffer *out,
                 struct error *err)
{
    char path[PATH_BYTES];
    struct http_answer answer = {0};
    if (docker_path(path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1&tail=10000", id) <
        0) {
        return error_set(err, ERROR_SYSTEM, 0, "the container's name is too long");
    }
    struct http_request request = {.method = "GET", .url = path, .deadline_ms = deadline_ms};
    buffer_init(&answer.body, LOG_BYTES);
    int result = docker_raw(docker, &request, &answer, err);
    if (result == 0 && answer.status != 200) {
        result = docker_refused_text(answer.status, answer.body.bytes, "GET", path, err);
    } else if (result == 0) {
        docker_frames_text(answer.body.bytes, answer.body.length, out);
    }
    buffer_done(&answer.body);
    return result;
}

int docker_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
{
    struct docker *docker = NULL;
    struct buffer text;
    const char *id = json_text_or_empty(task->metadata->state, DOCKER_STATE_ID);
    if (docker_open(task->config, task->signals, &docker, err) < 0) {
        return -1;
    }
    buffer_init(&text, LOG_BYTES);
    int result = fetch(docker, id, deadline_ms, &text, err);
    if (result == 0) {
        log_lines_print(out, text.bytes, text.length);
    }
    buffer_done(&text);
    docker_close(docker);
    return result;
}
