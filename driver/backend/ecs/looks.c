/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/looks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/ecs/looks_table.h"
#include "driver/backend/ecs/pace.h"
#include "driver/base/json.h"
#include "driver/base/process_id.h"

#define PEEK_MS         200
#define BUSY_CEILING_MS 5000
#define SCOPE_BYTES     1024

/* One look. */
struct asking {
    struct backend_task *task;
    struct ecs_session *session;
    struct ecs_looks *looks;
    const struct ecs_look *look;
    const char *arn;
    struct ecs_view *view;
    bool shares;
    struct looks_batch batch;
};

static bool set_scope(const struct asking *asking)
{
    const struct config *config = asking->task->config;
    char text[SCOPE_BYTES];
    char boot[PROCESS_ID_BOOT_BYTES];
    char login[AWS_SCOPE_BYTES];
    process_id_boot(boot);
    aws_client_scope(asking->session->client, login);
    int length =
        snprintf(text, sizeof(text), "%s\n%s\n%s\n%s", boot, login,
                 ecs_state_text(asking->task->metadata, "cluster"), config->fargate.container_name);
    if (login[0] == '\0' || length < 0 || length >= (int)sizeof(text)) {
        return false;
    }
    looks_hash(asking->looks->scope, text, (size_t)length);
    return true;
}

/* Prepares for this ARN. Returns whether this driver can share. */
static bool enter(const struct asking *asking)
{
    struct ecs_looks *looks = asking->looks;
    unsigned char key[ECS_LOOKS_KEY_BYTES];
    if (!looks->opened) {
        looks->opened = true;
        looks->index = -1;
        looks->fd = looks_table_open(asking->task->config->metadata_directory);
        looks->alone = !set_scope(asking);
    }
    looks_hash(key, asking->arn, strlen(asking->arn));
    if (memcmp(key, looks->task, sizeof(key)) != 0) {
        memcpy(looks->task, key, sizeof(key));
        looks->index = -1;
        looks->seen_ms = 0;
        looks->from_ms = clock_now_ms();
    }
    return looks->fd >= 0 && !looks->alone;
}

void ecs_looks_done(struct ecs_looks *looks)
{
    if (looks->opened && looks->fd >= 0) {
        (void)close(looks->fd);
    }
    *looks = (struct ecs_looks){0};
}

/* Takes the answer from the slot, if there is one. From half of the pause on, another driver's call
 * may as well ask for this task. Under the lock. */
static bool take_answer(const struct asking *asking, struct looks_slot *slot)
{
    struct ecs_looks *looks = asking->looks;
    int64_t pause_ms = asking->look->pause_ms;
    if (!looks_table_answer(looks, slot, asking->arn, asking->look->since_ms, asking->view)) {
        return false;
    }
    looks->seen_ms = slot->begun_ms;
    looks->busy_ms = 0;
    looks->pace_ms = 0; /* this call was not needed */
    (void)looks_table_wish(looks, slot, pause_ms == 0 ? INT64_MAX : slot->begun_ms + pause_ms / 2,
                           pause_ms == 0 ? INT64_MAX : slot->begun_ms + pause_ms);
    return true;
}

/* --- turns --- */

/* Reserves this driver's next call. Without time to wait it takes none but the present moment,
 * unless that fails for long: else many drivers would reserve calls that are never made. */
static bool reserve(const struct asking *asking, int64_t now_ms)
{
    struct ecs_looks *looks = asking->looks;
    const struct config *config = asking->task->config;
    if (looks->pace_ms != 0) {
        return true;
    }
    looks->busy_ms = looks->busy_ms == 0 ? now_ms : looks->busy_ms;
    if (asking->look->until_ms > now_ms || now_ms - looks->busy_ms >= BUSY_CEILING_MS) {
        looks->pace_ms = ecs_pace_reserve(config, "look");
    } else if (ecs_pace_try(config, "look")) {
        looks->pace_ms = now_ms;
    }
    return looks->pace_ms != 0;
}

enum visit { VISIT_FAILED, VISIT_ANSWERED, VISIT_BUSY, VISIT_TURN };

static enum visit visit_locked(struct asking *asking)
{
    struct ecs_looks *looks = asking->looks;
    struct looks_slot slot;
    int64_t now_ms = clock_now_ms();
    if (!looks_table_own(looks, asking->arn, &slot)) {
        return VISIT_FAILED;
    }
    if (take_answer(asking, &slot)) {
        return VISIT_ANSWERED;
    }
    int64_t due_ms = slot.due_ms > 0 && slot.due_ms < now_ms ? slot.due_ms : now_ms;
    if (!looks_table_wish(looks, &slot, asking->look->since_ms, due_ms)) {
        return VISIT_FAILED;
    }
    if (looks_table_is_taken(looks) || !reserve(asking, now_ms)) {
        return VISIT_BUSY;
    }
    if (looks->pace_ms <= now_ms || looks->pace_ms <= asking->look->until_ms) {
        int64_t from_ms = looks->pace_ms > now_ms ? looks->pace_ms : now_ms;
        asking->batch.turn_ms = from_ms + LOOKS_TURN_MS;
        looks_table_take_turn(looks, asking->batch.turn_ms);
    }
    return VISIT_TURN;
}

static enum visit visit(struct asking *asking)
{
    if (!looks_table_lock(asking->looks)) {
        return VISIT_FAILED;
    }
    enum visit result = visit_locked(asking);
    looks_table_unlock(asking->looks);
    return result;
}

enum others { OTHERS_READY, OTHERS_LATE, OTHERS_STOPPED };

/* Waits until the task has an answer or no other driver has the turn, as long as a turn is waited
 * for. */
static enum others wait_for_others(const struct asking *asking)
{
    const struct ecs_look *look = asking->look;
    struct looks_slot slot;
    do {
        int64_t now_ms = clock_now_ms();
        if (now_ms >= look->until_ms) {
            return OTHERS_LATE;
        }
        if (signals_wait(asking->task->signals, -1,
                         clock_earlier_ms(look->until_ms, now_ms + PEEK_MS)) < 0) {
            return OTHERS_STOPPED;
        }
    } while (looks_table_peek(asking->looks, &slot) && slot.begun_ms < look->since_ms &&
             looks_table_is_taken(asking->looks));
    return OTHERS_READY;
}

/* Another driver has had the turn for as long as this one waits: it asks as well, as it would have
 * without the others, if a call is possible at once. */
static bool asks_anyway(const struct asking *asking)
{
    struct ecs_looks *looks = asking->looks;
    int64_t now_ms = clock_now_ms();
    if (asking->look->until_ms == 0 || asking->look->deadline_ms <= now_ms) {
        return false;
    }
    if (looks->pace_ms == 0 && ecs_pace_try(asking->task->config, "look")) {
        looks->pace_ms = now_ms;
    }
    return looks->pace_ms != 0 && looks->pace_ms <= now_ms;
}

/* Waits for the reserved slot of pace.h; one that comes too late is kept. */
static bool wait_for_pace(const struct asking *asking)
{
    struct ecs_looks *looks = asking->looks;
    int64_t until_ms = asking->look->until_ms;
    if (looks->pace_ms == 0) {
        looks->pace_ms = ecs_pace_reserve(asking->task->config, "look");
    }
    while (clock_now_ms() < looks->pace_ms) {
        if (clock_now_ms() >= until_ms ||
            signals_wait(asking->task->signals, -1, clock_earlier_ms(looks->pace_ms, until_ms)) <
                0) {
            return false;
        }
    }
    looks->pace_ms = 0;
    looks->busy_ms = 0;
    return true;
}

/* --- the call --- */

/* Which tasks the call asks for. False: another driver has asked meanwhile. Under the lock. */
static bool collect(struct asking *asking)
{
    struct ecs_looks *looks = asking->looks;
    struct looks_batch *batch = &asking->batch;
    struct looks_slot slot;
    if (!looks_table_own(looks, asking->arn, &slot)) {
        return true;
    }
    bool answered = take_answer(asking, &slot);
    looks_table_end_turn(looks, batch->turn_ms);
    if (!answered) {
        looks_table_claim(looks, batch);
        batch->turn_ms = batch->begun_ms + LOOKS_TURN_MS;
        looks_table_take_turn(looks, batch->turn_ms);
    }
    return !answered;
}

static int call(const struct asking *asking, cJSON **out_answer, struct aws_failure *out_failure,
                struct error *err)
{
    const struct looks_batch *batch = &asking->batch;
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "cluster", ecs_state_text(asking->task->metadata, "cluster"), &ok);
    cJSON *tasks = json_array(request, "tasks", &ok);
    for (size_t i = 0; i < batch->count; i++) {
        json_append(tasks, batch->arns[i], &ok);
    }
    if (!ok) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the task");
    }
    int result = aws_ecs(asking->session->client, "DescribeTasks", request,
                         asking->look->deadline_ms, out_answer, out_failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        err->kind = out_failure->permanent ? ERROR_USAGE : ERROR_SYSTEM;
    }
    return result;
}

/* Whether the answer says anything of the task: what it is, or that ECS does not know it. */
static bool find_in_answer(const cJSON *answer, const char *arn, const char *container,
                           struct ecs_view *out_view)
{
    const cJSON *entry;
    ecs_view_read(NULL, container, out_view);
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(answer, "tasks"))
    {
        if (strcmp(json_text_or_empty(entry, "taskArn"), arn) == 0) {
            ecs_view_read(entry, container, out_view);
            return true;
        }
    }
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(answer, "failures"))
    {
        if (strcmp(json_text_or_empty(entry, "arn"), arn) == 0 &&
            strcmp(json_text_or_empty(entry, "reason"), "MISSING") == 0) {
            return true;
        }
    }
    return false;
}

/* Gives the answers to the drivers that wait for them, and the turn to another; under the lock. */
static void publish(const struct asking *asking, const cJSON *answer)
{
    struct ecs_looks *looks = asking->looks;
    struct looks_slot slot;
    for (size_t i = 0; answer != NULL && i < asking->batch.count; i++) {
        struct ecs_view view;
        if (find_in_answer(answer, asking->batch.arns[i],
                           asking->task->config->fargate.container_name, &view)) {
            looks_table_publish(looks, &asking->batch, i, &view);
        }
    }
    if (looks_table_peek(looks, &slot)) {
        (void)take_answer(asking, &slot);
    }
    looks_table_end_turn(looks, asking->batch.turn_ms);
}

static int finish(const struct asking *asking, cJSON *answer, int result)
{
    if (asking->batch.entries[0].index >= 0 && looks_table_lock(asking->looks)) {
        publish(asking, answer);
        looks_table_unlock(asking->looks);
    }
    if (result == 0) {
        asking->looks->seen_ms = asking->batch.begun_ms;
        (void)find_in_answer(answer, asking->arn, asking->task->config->fargate.container_name,
                             asking->view);
    }
    cJSON_Delete(answer);
    return result < 0 ? -1 : 1;
}

/* Asks for the task, and if it shares for those of other drivers. */
static int ask(struct asking *asking, struct error *err)
{
    struct looks_batch *batch = &asking->batch;
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    if (!wait_for_pace(asking)) {
        return 0;
    }
    batch->count = 1;
    batch->entries[0].index = -1;
    batch->begun_ms = clock_now_ms();
    (void)snprintf(batch->arns[0], sizeof(batch->arns[0]), "%s", asking->arn);
    if (asking->shares && looks_table_lock(asking->looks)) {
        bool asks = collect(asking);
        looks_table_unlock(asking->looks);
        if (!asks) {
            return 1;
        }
    }
    int result = call(asking, &answer, &failure, err);
    if (result < 0 && failure.permanent && batch->count > 1) {
        /* The login may be allowed to see this task and not another one. */
        log_debug("%s; asking for this task alone", err->message);
        asking->looks->alone = true;
        batch->count = 1;
        if (!wait_for_pace(asking)) {
            /* The refusal was not about this task, for which no answer came in time. */
            (void)finish(asking, NULL, -1);
            return 0;
        }
        batch->begun_ms = clock_now_ms();
        result = call(asking, &answer, &failure, err);
    }
    return finish(asking, answer, result);
}

int ecs_looks_ask(struct backend_task *task, const struct ecs_look *look, struct ecs_view *out_view,
                  struct error *err)
{
    struct ecs_session *session = task->session;
    struct ecs_look wanted = *look;
    struct asking asking = {.task = task,
                            .session = session,
                            .looks = &session->looks,
                            .look = &wanted,
                            .arn = ecs_state_text(task->metadata, "arn"),
                            .view = out_view};
    enum visit result = VISIT_BUSY;
    asking.shares = enter(&asking);
    wanted.since_ms =
        wanted.since_ms < asking.looks->from_ms ? asking.looks->from_ms : wanted.since_ms;
    while (asking.shares && result == VISIT_BUSY) {
        result = visit(&asking);
        enum others others = result == VISIT_BUSY ? wait_for_others(&asking) : OTHERS_READY;
        if (others == OTHERS_STOPPED || (others == OTHERS_LATE && !asks_anyway(&asking))) {
            return 0;
        }
        result = others == OTHERS_LATE ? VISIT_TURN : result;
    }
    if (result == VISIT_ANSWERED) {
        return 1;
    }
    asking.shares = asking.shares && result == VISIT_TURN;
    return ask(&asking, err);
}
