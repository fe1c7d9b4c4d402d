/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/service_logs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/backend/docker/container.h"
#include "driver/backend/docker/stream.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"
#include "driver/base/time_text.h"

#define PATH_BYTES   512
#define ANSWER_BYTES (256UL << 10) /* of one service's log that is read at once */
#define LINE_BYTES   (20UL << 10)  /* of a frame: Docker splits lines after 16 KiB */
#define JOINED_BYTES (40UL << 10)

/* The time at the beginning of a line. Returns its length with the blank after it; 0: the line has
 * no time. */
static size_t read_time(const char *line, char out_since[DOCKER_SINCE_BYTES])
{
    char text[DOCKER_SINCE_BYTES];
    struct timespec time;
    size_t length = strcspn(line, " ");
    if (line[length] == '\0' || length >= sizeof(text)) {
        return 0;
    }
    memcpy(text, line, length);
    text[length] = '\0';
    if (time_text_parse(text, &time) < 0) {
        return 0;
    }
    (void)snprintf(out_since, DOCKER_SINCE_BYTES, "%lld.%09ld", (long long)time.tv_sec,
                   time.tv_nsec);
    return length + 1;
}

void docker_service_logs_add(cJSON *state, const cJSON *aliases, bool *ok)
{
    char name[SERVICE_LOG_NAME_BYTES];
    service_names_join(aliases, name);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(state, BACKEND_SERVICE_LOGS);
    list = list == NULL ? json_array(state, BACKEND_SERVICE_LOGS, ok) : list;
    cJSON *entry = cJSON_CreateObject();
    json_text(entry, "name", name, ok);
    json_text(entry, "since", "0", ok);
    if (!cJSON_AddItemToArray(list, entry)) {
        cJSON_Delete(entry);
        *ok = false;
    }
}

/* The beginning of a log that may be longer. */
struct part {
    struct buffer bytes;
    bool cut;
};

static int take(void *context, const char *bytes, size_t length)
{
    struct part *part = context;
    size_t room = ANSWER_BYTES - part->bytes.length;
    size_t taken = length < room ? length : room;
    part->cut = taken < length || buffer_append(&part->bytes, bytes, taken) < 0;
    return part->cut ? -1 : 0;
}

static int read_part(struct docker *docker, const char *container, const char *since,
                     int64_t deadline_ms, struct part *part, struct error *err)
{
    char path[PATH_BYTES];
    struct http_answer answer = {0};
    if (docker_path(path, sizeof(path),
                    "/containers/%s/logs?stdout=1&stderr=1&timestamps=1&since=%s", container,
                    since) < 0) {
        return error_set(err, ERROR_SYSTEM, ENAMETOOLONG, "the service's name is too long");
    }
    struct http_request request = {.method = "GET",
                                   .url = path,
                                   .deadline_ms = deadline_ms,
                                   .on_bytes = take,
                                   .context = part};
    buffer_init(&answer.body, PATH_BYTES);
    int result = docker_raw(docker, &request, &answer, err);
    buffer_done(&answer.body);
    return result < 0 && !part->cut ? -1 : 0;
}

/* Less than 0, 0 or more as strcmp(); both are times of read_time(). */
static int compare_times(const char *a, const char *b)
{
    size_t one = strcspn(a, "."), other = strcspn(b, ".");
    return one != other ? (one < other ? -1 : 1) : strcmp(a, b);
}

/* A line that is put together. */
struct line {
    struct buffer text;
    struct docker_log_position position; /* behind its last frame */
    int64_t skip; /* how many of the first position's time were read before */
};

/* One frame has one line, or a part of a longer one. Returns 1; 0: it was read before; -1: the line
 * is too long with it. */
static int add_frame(struct line *line, const char *text, size_t length)
{
    char part[LINE_BYTES];
    char time[DOCKER_SINCE_BYTES];
    struct docker_log_position *position = &line->position;
    length = length < sizeof(part) ? length : sizeof(part) - 1;
    length -= length > 0 && text[length - 1] == '\n' ? 1 : 0;
    for (size_t i = 0; i < length; i++) {
        part[i] = (char)(text[i] == '\0' || text[i] == '\n' ? ' ' : text[i]);
    }
    part[length] = '\0';
    size_t start = read_time(part, time);
    int order = start == 0 ? -1 : compare_times(time, position->since);
    if (order < 0 || (order == 0 && line->skip > 0)) {
        line->skip -= order == 0 ? 1 : 0;
        return 0;
    }
    if (buffer_append(&line->text, part + start, length - start) < 0) {
        return -1;
    }
    position->count = order == 0 ? position->count + 1 : 1;
    line->skip = 0;
    memcpy(position->since, time, sizeof(time));
    return 1;
}

/* Moves 'position' behind the line, or returns -1 if it does not fit. */
static int print_line(struct line *line, const char *name, struct docker_log_position *position,
                      struct buffer *out)
{
    if (buffer_printf(out, "[service:%s] %s\n", name,
                      line->text.bytes == NULL ? "" : line->text.bytes) < 0) {
        return -1;
    }
    *position = line->position;
    buffer_clear(&line->text);
    return 0;
}

/* The engine breaks a line after 16 KiB, maybe within a masked value, which the runner would not
 * find in two lines. */
void docker_service_logs_take(const char *frames, size_t length, const char *name,
                              struct docker_log_position *position, struct buffer *out)
{
    const char *text = NULL;
    size_t text_length = 0;
    bool begun = false;
    int fits = 0;
    struct line line = {.position = *position, .skip = position->count};
    buffer_init(&line.text, JOINED_BYTES);
    while (fits == 0 && docker_frame_next(&frames, &length, &text, &text_length)) {
        int added = add_frame(&line, text, text_length);
        if (added < 0) {
            fits = print_line(&line, name, position, out);
            added = fits < 0 ? -1 : add_frame(&line, text, text_length);
        }
        begun = added > 0 || (begun && added == 0);
        if (added > 0 && text_length > 0 && text[text_length - 1] == '\n') {
            fits = print_line(&line, name, position, out);
            begun = false;
        }
    }
    if (fits == 0 && begun) {
        (void)print_line(&line, name, position, out);
    }
    buffer_done(&line.text);
}

static int read_service(struct docker *docker, const char *job, int index, cJSON *entry,
                        struct buffer *out, int64_t deadline_ms, struct error *err)
{
    char container[DOCKER_SERVICE_NAME_BYTES];
    struct docker_log_position position = {.count = json_number_at(entry, "count")};
    struct part part = {.cut = false};
    bool ok = true;
    docker_service_container(job, index, container);
    (void)snprintf(position.since, sizeof(position.since), "%s",
                   json_text_or_empty(entry, "since"));
    buffer_init(&part.bytes, ANSWER_BYTES);
    int result = read_part(docker, container, position.since, deadline_ms, &part, err);
    if (result == 0 && part.bytes.length > 0) {
        docker_service_logs_take(part.bytes.bytes, part.bytes.length,
                                 json_text_or_empty(entry, "name"), &position, out);
        cJSON_DeleteItemFromObjectCaseSensitive(entry, "since");
        cJSON_DeleteItemFromObjectCaseSensitive(entry, "count");
        json_text(entry, "since", position.since, &ok);
        json_number(entry, "count", position.count, &ok);
    }
    buffer_done(&part.bytes);
    return result == 0 && !ok ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read logs") : result;
}

int docker_service_logs(struct backend_task *task, struct buffer *out, int64_t deadline_ms,
                        struct error *err)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS);
    struct docker *docker = NULL;
    cJSON *entry = NULL;
    int index = 0;
    if (cJSON_GetArraySize(list) == 0) {
        return 0;
    }
    struct error ignored;
    int result = docker_open(task->config, task->signals, &docker, err);
    cJSON_ArrayForEach(entry, list)
    {
        /* The first failure is reported; it holds up no other service. */
        if (docker != NULL && read_service(docker, task->metadata->job, index++, entry, out,
                                           deadline_ms, result == 0 ? err : &ignored) < 0) {
            result = -1;
        }
    }
    docker_close(docker);
    return result;
}
