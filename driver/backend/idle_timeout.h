/* SPDX-License-Identifier: MIT */
/*
 * idle_timeout.h - after what time the agents of a task exit by themselves, for every backend.
 */
#ifndef BERTH_DRIVER_BACKEND_IDLE_TIMEOUT_H
#define BERTH_DRIVER_BACKEND_IDLE_TIMEOUT_H

#include "driver/backend/backend.h"

/* How long the agent of a container waits without a job and a client before it exits, in
 * milliseconds; 0: its own setting. With a helper, one container is idle while stages run in the
 * other. */
int64_t backend_idle_ms(const struct backend_task *task, enum metadata_container container);
/* The same until a job claims a task that was launched ahead of it; 0: the former applies. */
int64_t backend_claim_ms(const struct backend_task *task);

#endif
