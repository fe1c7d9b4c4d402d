/* SPDX-License-Identifier: MIT */
#include "driver/backend/idle_timeout.h"

#define HOUR_MS        (60LL * 60 * 1000)
#define AGENT_IDLE_MS  HOUR_MS /* the agent's default */
#define HELPER_IDLE_MS (7 * 24 * HOUR_MS)

static int64_t later_ms(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t backend_idle_ms(const struct backend_task *task, enum metadata_container container)
{
    const struct metadata *metadata = task->metadata;
    int64_t timeout_ms = metadata->origin.timeout_s * 1000; /* 0: not known */
    if (!metadata->has_helper) {
        return task->login_within_ms;
    }
    if (container == METADATA_HELPER) { /* idle for as long as the job's script runs */
        return later_ms(HELPER_IDLE_MS, timeout_ms + AGENT_IDLE_MS);
    }
    return timeout_ms > AGENT_IDLE_MS || task->login_within_ms > 0
               ? later_ms(AGENT_IDLE_MS, later_ms(timeout_ms, task->login_within_ms))
               : 0;
}

int64_t backend_claim_ms(const struct backend_task *task)
{
    return task->metadata->has_helper ? task->login_within_ms : 0;
}
