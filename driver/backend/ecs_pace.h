/* SPDX-License-Identifier: MIT */
/*
 * ecs_pace.h - spaces out the calls of all drivers that share a metadata directory.
 *
 * ECS refills its buckets of calls per account, not per process; hundreds of drivers that each
 * poll politely would still empty them. So each takes its turn from a file in that directory: the
 * time of the next free slot, moved on under a lock by one interval per call. The caller waits
 * until its slot. Never fails: where the file cannot be used, the slot is now.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_PACE_H
#define BERTH_DRIVER_BACKEND_ECS_PACE_H

#include <stdint.h>

#include "driver/config.h"

/* The absolute time (clock.h) of this call's slot. 'kind' ("run", "look"): ECS counts kinds of
 * calls apart. */
int64_t ecs_pace_reserve(const struct config *config, const char *kind);

#endif
