/* SPDX-License-Identifier: MIT */
/*
 * claim.h - reports to an agent that a job has claimed its task, which was launched ahead of it.
 *
 * Until then the agent exits after the timeout for tasks without a job (--claim-timeout). The
 * deadline is absolute (clock.h).
 */
#ifndef BERTH_DRIVER_REMOTE_CLAIM_H
#define BERTH_DRIVER_REMOTE_CLAIM_H

#include "driver/remote/connection.h"

/* Returns 0, also if the agent is an older one that awaits no claim; -1: the connection was lost,
 * the deadline passed (errno ETIMEDOUT), or a request to stop (EINTR). 'signals' may be NULL. */
int ssh_claim(struct ssh_connection *connection, struct signals *signals, int64_t deadline_ms,
              struct error *err) __attribute__((warn_unused_result));

#endif
