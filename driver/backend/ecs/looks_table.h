/* SPDX-License-Identifier: MIT */
/*
 * looks_table.h - the file in which the drivers of a metadata directory share DescribeTasks, for
 * looks.c.
 *
 * It has a slot for each task that a driver waits for, with its ARN and the last answer, and a turn
 * for each scope: which driver asks. A scope is a hash of all that a request depends on but the
 * task; other scopes' slots are never touched but to be reused when they have expired. A
 * writer holds the lock. All texts in the file are untrusted: a slot is used only if its keys, and
 * the ARN of its answer, are the right ones.
 *
 * The file has a fixed size, most of it holes, mode 0600 and no secret. Times are milliseconds of
 * the monotonic clock (clock.h); those that another boot has left are recognised as such by the
 * scope, or by lying in the future. Nothing here logs an error: the caller asks for itself.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_LOOKS_TABLE_H
#define BERTH_DRIVER_BACKEND_ECS_LOOKS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/backend/ecs/ecs.h"

#define LOOKS_TURN_MS 1000 /* how long others wait for the driver that asks */

struct looks_slot {
    unsigned char scope[ECS_LOOKS_KEY_BYTES];
    unsigned char task[ECS_LOOKS_KEY_BYTES]; /* of its ARN */
    int64_t wanted_ms;                       /* an answer to a call from then on is of use */
    int64_t due_ms;                          /* its driver waits from then on */
    int64_t claimed_ms;                      /* when the last call for it began */
    int64_t begun_ms;                        /* the same, of the call that was answered; 0: none */
    int64_t expires_ms;                      /* the slot may be given away from then on */
    int64_t missing; /* not 0: the answer says that ECS does not know the task */
};

/* The tasks of one call; the first is the caller's. */
struct looks_batch {
    size_t count;
    int64_t begun_ms;
    int64_t turn_ms; /* until when the caller has the turn; 0: it has none */
    struct {
        int index; /* of the slot; -1: none */
        int64_t due_ms;
    } entries[ECS_DESCRIBE_CEILING];
    char arns[ECS_DESCRIBE_CEILING][ECS_ARN_BYTES];
};

void looks_hash(unsigned char out[ECS_LOOKS_KEY_BYTES], const char *text, size_t length);

/* The file's descriptor, -1: it cannot be used. */
int looks_table_open(const char *directory);
/* False: another process holds the lock for long. */
bool looks_table_lock(const struct ecs_looks *looks);
void looks_table_unlock(const struct ecs_looks *looks);

/* The task's slot, found again or taken; false: all are in use, or the file failed. */
bool looks_table_own(struct ecs_looks *looks, const char *arn, struct looks_slot *out_slot);
/* The same as far as it can be read without the lock; false: it is not the task's any more. */
bool looks_table_peek(const struct ecs_looks *looks, struct looks_slot *out_slot);
/* Writes the task's slot, with when its driver wants the next answer. */
bool looks_table_wish(const struct ecs_looks *looks, struct looks_slot *slot, int64_t wanted_ms,
                      int64_t due_ms);
/* The slot's answer, if its call began at 'since_ms' or later. */
bool looks_table_answer(const struct ecs_looks *looks, const struct looks_slot *slot,
                        const char *arn, int64_t since_ms, struct ecs_view *out_view);

/* Whether another driver of this scope asks, or is about to. */
bool looks_table_is_taken(const struct ecs_looks *looks);
void looks_table_take_turn(const struct ecs_looks *looks, int64_t until_ms);
/* Unless another driver has taken it meanwhile. */
void looks_table_end_turn(const struct ecs_looks *looks, int64_t until_ms);

/* Adds the tasks of this scope that are due first to a batch with the caller's, and notes that a
 * call asks for them. */
void looks_table_claim(const struct ecs_looks *looks, struct looks_batch *batch);
/* Keeps the answer for entry 'i', unless its slot was given away or has a later one. */
void looks_table_publish(const struct ecs_looks *looks, const struct looks_batch *batch, size_t i,
                         const struct ecs_view *view);

#endif
