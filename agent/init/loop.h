/* SPDX-License-Identifier: MIT */
/*
 * loop.h - init's only loop.
 */
#ifndef BERTH_AGENT_INIT_LOOP_H
#define BERTH_AGENT_INIT_LOOP_H

#include "agent/init/init.h"

/* Serves until a shutdown is complete. From here on nothing may end the process: PID 1's death is
 * the container's. */
void loop_run(struct init *init);

#endif
