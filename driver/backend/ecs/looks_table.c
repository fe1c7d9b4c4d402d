/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/looks_table.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/base/file_lock.h"
#include "driver/record/metadata_directory.h"

#define SLOTS    2048
#define TURNS    64
#define SLOTS_AT 4096
#define CHUNK    64    /* slots that are read at once */
#define KEEP_MS  30000 /* a slot whose driver does not come back */
#define LOCK_MS  500
/* Times further in the future are of another boot. */
#define FUTURE_CEILING_MS (2LL * 3600 * 1000)
#define ARN_START         "arn:"

struct turn {
    unsigned char scope[ECS_LOOKS_KEY_BYTES];
    int64_t until_ms; /* others wait until then; 0: no driver asks */
};

struct answer {
    char arn[ECS_ARN_BYTES];
    struct ecs_view view;
};

_Static_assert(TURNS * sizeof(struct turn) <= SLOTS_AT, "the turns are before the slots");

void looks_hash(unsigned char out[ECS_LOOKS_KEY_BYTES], const char *text, size_t length)
{
    (void)crypto_generichash(out, ECS_LOOKS_KEY_BYTES, (const unsigned char *)text, length, NULL,
                             0);
}

/* --- the file --- */

int looks_table_open(const char *directory)
{
    char name[32];
    struct error err = {0};
    int fd = -1;
    cleanup_fd int directory_fd = -1;
    /* Another version may have other fields. */
    (void)snprintf(name, sizeof(name), ".ecs-looks-%zu",
                   sizeof(struct looks_slot) + sizeof(struct answer));
    int found = metadata_directory_open(directory, &directory_fd, &err);
    if (found == 1) {
        found = metadata_directory_open_file(directory_fd, directory, name, O_RDWR, &fd, &err);
        if (found == 0) {
            found = metadata_directory_open_file(directory_fd, directory, name, O_RDWR | O_CREAT,
                                                 &fd, &err);
        }
    }
    if (found < 0) {
        log_debug("DescribeTasks is not shared: %s", err.message);
    }
    return found == 1 ? fd : -1;
}

/* A holder that is stopped is not waited for. */
bool looks_table_lock(const struct ecs_looks *looks)
{
    return file_lock(looks->fd, NULL, clock_deadline_ms(LOCK_MS)) == 1;
}

void looks_table_unlock(const struct ecs_looks *looks)
{
    (void)flock(looks->fd, LOCK_UN);
}

static off_t turn_at(const struct ecs_looks *looks)
{
    return (off_t)(looks->scope[0] % TURNS * sizeof(struct turn));
}

static off_t slot_at(int index)
{
    return SLOTS_AT + (off_t)index * (off_t)sizeof(struct looks_slot);
}

static off_t answer_at(int index)
{
    return slot_at(SLOTS) + (off_t)index * (off_t)sizeof(struct answer);
}

/* What was never written is zeroes. */
static bool get(const struct ecs_looks *looks, off_t at, void *out, size_t size)
{
    memset(out, 0, size);
    return pread(looks->fd, out, size, at) >= 0;
}

static bool put(const struct ecs_looks *looks, off_t at, const void *bytes, size_t size)
{
    return pwrite(looks->fd, bytes, size, at) == (ssize_t)size;
}

/* --- slots --- */

static bool is_in_scope(const struct ecs_looks *looks, const struct looks_slot *slot)
{
    return memcmp(slot->scope, looks->scope, sizeof(slot->scope)) == 0;
}

static bool is_own(const struct ecs_looks *looks, const struct looks_slot *slot)
{
    return is_in_scope(looks, slot) && memcmp(slot->task, looks->task, sizeof(slot->task)) == 0;
}

static bool is_free(const struct looks_slot *slot, int64_t now_ms)
{
    return slot->expires_ms <= now_ms || slot->expires_ms > now_ms + FUTURE_CEILING_MS;
}

bool looks_table_peek(const struct ecs_looks *looks, struct looks_slot *out_slot)
{
    return looks->index >= 0 && get(looks, slot_at(looks->index), out_slot, sizeof(*out_slot)) &&
           is_own(looks, out_slot);
}

/* Takes a slot that no driver uses. */
static bool take(struct ecs_looks *looks, int index, const char *arn, struct looks_slot *out_slot)
{
    struct answer answer = {0};
    *out_slot = (struct looks_slot){0};
    memcpy(out_slot->scope, looks->scope, sizeof(out_slot->scope));
    memcpy(out_slot->task, looks->task, sizeof(out_slot->task));
    (void)snprintf(answer.arn, sizeof(answer.arn), "%s", arn);
    looks->index = index;
    return index >= 0 && put(looks, answer_at(index), &answer, sizeof(answer));
}

bool looks_table_own(struct ecs_looks *looks, const char *arn, struct looks_slot *out_slot)
{
    struct looks_slot chunk[CHUNK];
    int64_t now_ms = clock_now_ms();
    int unused = -1;
    if (looks_table_peek(looks, out_slot)) {
        return true;
    }
    for (int start = 0; start < SLOTS; start += CHUNK) {
        if (!get(looks, slot_at(start), chunk, sizeof(chunk))) {
            return false;
        }
        for (int i = 0; i < CHUNK; i++) {
            if (is_own(looks, &chunk[i])) {
                looks->index = start + i;
                *out_slot = chunk[i];
                return true;
            }
            unused = unused < 0 && is_free(&chunk[i], now_ms) ? start + i : unused;
        }
    }
    return take(looks, unused, arn, out_slot);
}

bool looks_table_wish(const struct ecs_looks *looks, struct looks_slot *slot, int64_t wanted_ms,
                      int64_t due_ms)
{
    slot->wanted_ms = wanted_ms;
    slot->due_ms = due_ms;
    slot->expires_ms = clock_deadline_ms(KEEP_MS);
    return put(looks, slot_at(looks->index), slot, sizeof(*slot));
}

/* The file's texts may lack their end. */
static void terminate(struct ecs_view *view)
{
    view->arn[sizeof(view->arn) - 1] = '\0';
    view->status[sizeof(view->status) - 1] = '\0';
    view->desired[sizeof(view->desired) - 1] = '\0';
    view->provider[sizeof(view->provider) - 1] = '\0';
    view->stop_code[sizeof(view->stop_code) - 1] = '\0';
    view->stopped_reason[sizeof(view->stopped_reason) - 1] = '\0';
    view->container_reason[sizeof(view->container_reason) - 1] = '\0';
    view->failed[sizeof(view->failed) - 1] = '\0';
    view->interface[sizeof(view->interface) - 1] = '\0';
    view->address[sizeof(view->address) - 1] = '\0';
}

bool looks_table_answer(const struct ecs_looks *looks, const struct looks_slot *slot,
                        const char *arn, int64_t since_ms, struct ecs_view *out_view)
{
    struct answer answer;
    if (slot->begun_ms == 0 || slot->begun_ms < since_ms || slot->begun_ms > clock_now_ms() ||
        !get(looks, answer_at(looks->index), &answer, sizeof(answer))) {
        return false;
    }
    answer.view.missing = slot->missing != 0;
    terminate(&answer.view);
    if (!answer.view.missing && strcmp(answer.view.arn, arn) != 0) {
        return false;
    }
    *out_view = answer.view;
    return true;
}

/* --- turns --- */

/* Scopes share places by their hash: one whose place is taken has no turns, and asks anyway. */
static bool get_turn(const struct ecs_looks *looks, struct turn *out_turn)
{
    return get(looks, turn_at(looks), out_turn, sizeof(*out_turn)) &&
           memcmp(out_turn->scope, looks->scope, sizeof(out_turn->scope)) == 0;
}

bool looks_table_is_taken(const struct ecs_looks *looks)
{
    struct turn turn;
    int64_t now_ms = clock_now_ms();
    return get_turn(looks, &turn) && turn.until_ms > now_ms &&
           turn.until_ms < now_ms + FUTURE_CEILING_MS;
}

void looks_table_take_turn(const struct ecs_looks *looks, int64_t until_ms)
{
    struct turn turn = {.until_ms = until_ms};
    memcpy(turn.scope, looks->scope, sizeof(turn.scope));
    (void)put(looks, turn_at(looks), &turn, sizeof(turn));
}

void looks_table_end_turn(const struct ecs_looks *looks, int64_t until_ms)
{
    struct turn turn;
    if (until_ms != 0 && get_turn(looks, &turn) && turn.until_ms == until_ms) {
        looks_table_take_turn(looks, 0);
    }
}

/* --- batches --- */

/* Whether an answer for this slot is of use to its driver, and no call for it is under way. */
static bool is_wanted(const struct looks_slot *slot, int64_t now_ms)
{
    bool asked = slot->claimed_ms > slot->begun_ms && slot->claimed_ms + LOOKS_TURN_MS > now_ms;
    return !asked && !is_free(slot, now_ms) && slot->wanted_ms <= now_ms &&
           slot->begun_ms < slot->wanted_ms;
}

/* Keeps the entries that are due first, after the caller's own. */
static void insert(struct looks_batch *batch, int index, int64_t due_ms)
{
    size_t at = batch->count;
    while (at > 1 && batch->entries[at - 1].due_ms > due_ms) {
        at--;
    }
    if (at >= ECS_DESCRIBE_CEILING) {
        return;
    }
    batch->count += batch->count < ECS_DESCRIBE_CEILING;
    memmove(&batch->entries[at + 1], &batch->entries[at],
            (batch->count - at - 1) * sizeof(batch->entries[0]));
    batch->entries[at].index = index;
    batch->entries[at].due_ms = due_ms;
}

/* Marks a slot as asked for and reads its ARN. False: the slot has another. */
static bool claim(const struct ecs_looks *looks, const struct looks_batch *batch, int index,
                  char out_arn[ECS_ARN_BYTES])
{
    struct looks_slot slot;
    unsigned char key[ECS_LOOKS_KEY_BYTES];
    if (!get(looks, slot_at(index), &slot, sizeof(slot)) ||
        !get(looks, answer_at(index), out_arn, ECS_ARN_BYTES)) {
        return false;
    }
    out_arn[ECS_ARN_BYTES - 1] = '\0';
    looks_hash(key, out_arn, strlen(out_arn));
    slot.claimed_ms = batch->begun_ms;
    return memcmp(key, slot.task, sizeof(key)) == 0 &&
           strncmp(out_arn, ARN_START, strlen(ARN_START)) == 0 &&
           put(looks, slot_at(index), &slot, sizeof(slot));
}

void looks_table_claim(const struct ecs_looks *looks, struct looks_batch *batch)
{
    struct looks_slot chunk[CHUNK];
    char own[ECS_ARN_BYTES];
    size_t count = 1;
    batch->entries[0].index = looks->index;
    (void)claim(looks, batch, looks->index, own);
    for (int start = 0; start < SLOTS && get(looks, slot_at(start), chunk, sizeof(chunk));
         start += CHUNK) {
        for (int i = 0; i < CHUNK; i++) {
            if (is_in_scope(looks, &chunk[i]) && start + i != looks->index &&
                is_wanted(&chunk[i], batch->begun_ms)) {
                insert(batch, start + i, chunk[i].due_ms);
            }
        }
    }
    for (size_t i = 1; i < batch->count; i++) {
        if (claim(looks, batch, batch->entries[i].index, batch->arns[count])) {
            batch->entries[count++] = batch->entries[i];
        }
    }
    batch->count = count;
}

void looks_table_publish(const struct ecs_looks *looks, const struct looks_batch *batch, size_t i,
                         const struct ecs_view *view)
{
    struct looks_slot slot;
    struct answer answer = {.view = *view};
    unsigned char key[ECS_LOOKS_KEY_BYTES];
    int index = batch->entries[i].index;
    looks_hash(key, batch->arns[i], strlen(batch->arns[i]));
    if (!get(looks, slot_at(index), &slot, sizeof(slot)) || !is_in_scope(looks, &slot) ||
        memcmp(slot.task, key, sizeof(key)) != 0 || slot.begun_ms > batch->begun_ms) {
        return;
    }
    memcpy(answer.arn, batch->arns[i], sizeof(answer.arn));
    slot.missing = view->missing;
    slot.begun_ms = batch->begun_ms;
    if (put(looks, answer_at(index), &answer, sizeof(answer))) {
        (void)put(looks, slot_at(index), &slot, sizeof(slot));
    }
}
