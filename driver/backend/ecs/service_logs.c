/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/service_logs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/client.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/log_events.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/log_lines.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"

#define TAIL_EVENTS   LOG_LINES_TAIL
#define TAIL_MS       3000
#define ROUND_MS      2000 /* less than a stage waits for the process that reads */
#define POLL_MS       5000
#define MORE_MS       1000
#define BACKOFF_STEPS 4 /* doublings of POLL_MS after failures */
#define PAGE_EVENTS   1000
#define LINE_BYTES    4096 /* longer lines are broken, at a blank */
#define WORD_BYTES    (32UL << 10)
#define TOKEN_CEILING 256 /* AWS's have about 60 */

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the logs of services");
}

int ecs_service_logs_init(struct backend_task *task, const cJSON *definition,
                          const struct ecs_services *services, const char *region,
                          struct error *err)
{
    bool ok = true, known = services->count > 0;
    const char *arn = ecs_state_text(task->metadata, "arn");
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < services->count && known && arn != NULL; i++) {
        char container[ECS_SERVICE_CONTAINER_BYTES];
        char name[SERVICE_LOG_NAME_BYTES];
        struct ecs_log_place place;
        cJSON *entry = cJSON_CreateObject();
        ecs_service_container(i, container);
        service_names_join(services->states[i].names, name);
        known = ecs_log_place_find(definition, container, arn, region, &place);
        json_text(entry, "name", name[0] == '\0' ? container : name, &ok);
        json_text(entry, "group", known ? place.group : "", &ok);
        json_text(entry, "stream", known ? place.stream : "", &ok);
        ok = cJSON_AddItemToArray(list, entry) && ok;
    }
    if (!ok || !known || arn == NULL) {
        cJSON_Delete(list);
        return ok ? 0 : out_of_memory(err);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS);
    if (!cJSON_AddItemToObject(task->metadata->state, BACKEND_SERVICE_LOGS, list)) {
        cJSON_Delete(list);
        return out_of_memory(err);
    }
    return task->persist == NULL ? 0 : task->persist(task, err);
}

/* --- the end of a log --- */

/* 1: the stream does not exist. */
static int read_end(struct aws_client *client, const cJSON *entry, int64_t deadline_ms,
                    struct buffer *out, struct error *err)
{
    const struct ecs_log_page page = {.from_end = true, .limit = TAIL_EVENTS};
    struct aws_failure failure;
    cJSON *answer = NULL;
    const cJSON *event = NULL;
    if (ecs_log_events(client, json_text_or_empty(entry, "group"),
                       json_text_or_empty(entry, "stream"), &page, deadline_ms, &answer, &failure,
                       err) < 0) {
        return strcmp(failure.code, "ResourceNotFoundException") == 0 ? 1 : -1;
    }
    bool ok = true;
    cJSON_ArrayForEach(event, json_at(answer, "events"))
    {
        const char *message = json_text_or_empty(event, "message");
        ok = ok && buffer_append_last(out, message, strlen(message)) == 0 &&
             buffer_append_last(out, "\n", 1) == 0;
    }
    cJSON_Delete(answer);
    return ok ? 0 : out_of_memory(err);
}

int ecs_service_logs_tail(const struct backend_task *task, size_t index, struct buffer *out)
{
    struct error err = {0};
    const cJSON *list =
        cJSON_GetObjectItemCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS);
    const cJSON *entry = cJSON_GetArrayItem(list, (int)index);
    if (entry == NULL) {
        return 0;
    }
    struct aws_client *client = ecs_client_new(task->config, task->signals, &err);
    int result =
        client == NULL ? -1 : read_end(client, entry, clock_deadline_ms(TAIL_MS), out, &err);
    aws_client_free(client);
    if (result != 0) {
        log_debug("the log of a service: %s", err.message);
    }
    return result < 0 ? -1 : 0;
}

/* --- while a stage runs --- */

/* How much of the text is one line of the job's log. A masked value has no blank, and one that is
 * broken would not be found by the runner. */
static size_t piece_of(const char *text)
{
    size_t length = strcspn(text, "\n");
    if (length <= LINE_BYTES) {
        return length;
    }
    for (size_t i = LINE_BYTES; i > 0; i--) {
        if (text[i] == ' ' || text[i] == '\t') {
            return i;
        }
    }
    size_t word = 1 + strcspn(text + 1, " \t\n"); /* the first may be the blank of the break */
    return word < WORD_BYTES ? word : WORD_BYTES;
}

/* From '*offset' on; false: the line at '*offset' does not fit. */
static bool append_event(struct buffer *out, const char *name, const char *message, int64_t *offset)
{
    int64_t length = (int64_t)strlen(message);
    const char *at = message + (*offset >= 0 && *offset < length ? *offset : 0);
    do {
        size_t part = piece_of(at);
        if (buffer_printf(out, "[service:%s] %.*s\n", name, (int)part, at) < 0) {
            *offset = at - message;
            return false;
        }
        at += part;
        at += *at == '\n' ? 1 : 0;
    } while (*at != '\0');
    *offset = 0;
    return true;
}

static void set_number(cJSON *entry, const char *key, int64_t value, bool *ok)
{
    cJSON_DeleteItemFromObjectCaseSensitive(entry, key);
    if (value > 0) {
        json_number(entry, key, value, ok);
    }
}

/* A page of which nothing is left, or a token that does not move, is the end for now. */
bool ecs_service_logs_take(const cJSON *answer, cJSON *entry, struct buffer *out, bool *ok)
{
    char next[TOKEN_CEILING + 1];
    const char *token = json_text_or_empty(answer, "nextForwardToken");
    const char *name = json_text_or_empty(entry, "name");
    int64_t skip = json_number_at(entry, "skip");
    int64_t offset = json_number_at(entry, "offset");
    int64_t index = 0;
    const cJSON *event = NULL;
    if (token[0] == '\0' || strlen(token) > TOKEN_CEILING ||
        strcmp(token, json_text_or_empty(entry, "token")) == 0) {
        return false;
    }
    (void)snprintf(next, sizeof(next), "%s", token);
    cJSON_ArrayForEach(event, json_at(answer, "events"))
    {
        if (index >= skip &&
            !append_event(out, name, json_text_or_empty(event, "message"), &offset)) {
            set_number(entry, "skip", index, ok);
            set_number(entry, "offset", offset, ok);
            return true;
        }
        index++;
    }
    set_number(entry, "skip", 0, ok);
    set_number(entry, "offset", 0, ok);
    cJSON_DeleteItemFromObjectCaseSensitive(entry, "token");
    json_text(entry, "token", next, ok);
    return index >= PAGE_EVENTS;
}

/* One call of all services. */
struct round {
    struct ecs_follow *follow;
    const struct config *config;
    struct buffer *out;
    int64_t deadline_ms;
    bool late; /* the host's rate has no room in this round */
    bool more;
    bool refused;
};

/* A slot that is too late is kept for the next round. */
static bool take_turn(struct round *round)
{
    struct ecs_follow *follow = round->follow;
    if (follow->slot_ms == 0) {
        follow->slot_ms = ecs_pace_reserve(round->config, "logs");
    }
    if (follow->slot_ms >= round->deadline_ms) {
        round->late = true;
        return false;
    }
    if (follow->slot_ms > clock_now_ms()) {
        (void)signals_wait(NULL, -1, follow->slot_ms);
    }
    follow->slot_ms = 0;
    return true;
}

static int read_service(struct round *round, cJSON *entry, struct error *err)
{
    const struct ecs_log_page page = {.token = json_text_at(entry, "token"), .limit = PAGE_EVENTS};
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    if (round->late || !take_turn(round)) {
        return 0;
    }
    if (ecs_log_events(round->follow->client, json_text_or_empty(entry, "group"),
                       json_text_or_empty(entry, "stream"), &page, round->deadline_ms, &answer,
                       &failure, err) < 0) {
        bool missing = strcmp(failure.code, "ResourceNotFoundException") == 0;
        round->refused = failure.permanent && !missing;
        return missing ? 0 : -1; /* the stream comes with its first event */
    }
    round->more = ecs_service_logs_take(answer, entry, round->out, &ok) || round->more;
    cJSON_Delete(answer);
    return ok ? 0 : out_of_memory(err);
}

/* After a round. What cannot succeed is reported once in a stage. */
static void plan_next(const struct round *round, int result, const struct error *err)
{
    struct ecs_follow *follow = round->follow;
    if (result < 0 && round->refused) {
        log_warn("cannot print the logs of the services: %s", err->message);
        follow->due_ms = INT64_MAX;
    } else if (result < 0) {
        follow->due_ms = clock_deadline_ms((int64_t)POLL_MS << follow->failures);
        follow->failures += follow->failures < BACKOFF_STEPS ? 1 : 0;
    } else {
        follow->failures = 0;
        follow->due_ms =
            round->late ? follow->slot_ms : clock_deadline_ms(round->more ? MORE_MS : POLL_MS);
    }
}

int ecs_service_logs(struct backend_task *task, struct buffer *out, int64_t deadline_ms,
                     struct error *err)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS);
    int count = cJSON_GetArraySize(list);
    struct ecs_session *session = ecs_session_of(task, err);
    int result = 0;
    if (session == NULL) {
        return -1;
    }
    struct ecs_follow *follow = &session->follow;
    struct round round = {.follow = follow, .config = task->config, .out = out};
    round.deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(ROUND_MS));
    if (count == 0 || clock_now_ms() < follow->due_ms) {
        return 0;
    }
    if (follow->client == NULL) {
        follow->client = ecs_client_new(task->config, NULL, err);
        result = follow->client == NULL ? -1 : 0;
    }
    follow->first++;
    for (int i = 0; i < count && result == 0; i++) {
        result = read_service(&round, cJSON_GetArrayItem(list, (follow->first + i) % count), err);
    }
    plan_next(&round, result, err);
    return result;
}
