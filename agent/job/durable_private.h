/* SPDX-License-Identifier: MIT */
/*
 * durable_private.h - what durable.c (a durable job in its monitor) and durable_lease.c (when its
 * session reads the output itself) share. Nothing else includes it.
 */
#ifndef BERTH_AGENT_JOB_DURABLE_PRIVATE_H
#define BERTH_AGENT_JOB_DURABLE_PRIVATE_H

#include <stdbool.h>

#include "agent/job/durable.h"

/* Gives back the room of what was acknowledged; a lent spool's later. */
void durable_release(struct durable *durable);
/* Lends the job when it writes fast and its session keeps up. */
void durable_consider_lease(struct durable *durable);
/* Takes it back when the session gave it up, or moved little. */
void durable_watch_lease(struct durable *durable);
/* Takes it back in any case; nothing happens when it is not lent. A spool that the session left in
 * disorder ends this process, and with it the job. */
void durable_end_lease(struct durable *durable, bool session_is_gone);

#endif
