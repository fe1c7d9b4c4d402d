/* SPDX-License-Identifier: MIT */
/*
 * loop.h - init's only loop.
 */
#ifndef BERTH_AGENT_INIT_LOOP_H
#define BERTH_AGENT_INIT_LOOP_H

#include "agent/init/init.h"

/* Serves until a shutdown is complete. Nothing in it may exit: when PID 1 exits, so does the
 * container. */
void loop_run(struct init *init);

#endif
