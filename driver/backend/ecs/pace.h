/* SPDX-License-Identifier: MIT */
/*
 * pace.h - spaces out the calls of all drivers that share a metadata directory.
 *
 * ECS limits calls per account, so hundreds of drivers could exceed the limit together. A file in
 * that directory holds the time of the next free slot; each call advances it by one interval under
 * a lock, and the caller waits for its slot. Never fails: if the file cannot be used, the slot is
 * now.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_PACE_H
#define BERTH_DRIVER_BACKEND_ECS_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/signals.h"
#include "driver/config/config.h"

/* The absolute time (clock.h) of this call's slot. ECS limits each 'kind' ("run", "look",
 * "describe") separately. */
int64_t ecs_pace_reserve(const struct config *config, const char *kind);
/* Takes the present slot; false: the next one is later, and nothing is reserved. */
bool ecs_pace_try(const struct config *config, const char *kind);

/* The same for RegisterTaskDefinition and DeregisterTaskDefinition, which share one bucket of 20
 * calls and one more per second in each account and region (Developer Guide, "Request throttling
 * for the Amazon ECS API"). Ours has 15, and 0.8 per second, so that another host has some, too. */
int64_t ecs_pace_register(const struct config *config);
/* The same for DeleteTaskDefinitions: 5, and one per second. */
int64_t ecs_pace_delete(const struct config *config);

/* Waits for a slot. Fails with ETIMEDOUT at once if it is after the deadline, with EINTR after a
 * request to stop. */
int ecs_pace_wait(struct signals *signals, int64_t slot_ms, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
