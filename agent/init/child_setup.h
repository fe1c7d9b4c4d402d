/* SPDX-License-Identifier: MIT */
/*
 * child_setup.h - the first step of the sessions and monitors that init forks.
 */
#ifndef BERTH_AGENT_INIT_CHILD_SETUP_H
#define BERTH_AGENT_INIT_CHILD_SETUP_H

#include "agent/init/init.h"

/* Closes every descriptor that belongs to init alone, except the given ones (-1: none), and asks
 * the kernel for SIGTERM when init exits. 'parent' is init. */
void child_close_inherited(struct init *init, int kept_a, int kept_b, pid_t parent);

#endif
