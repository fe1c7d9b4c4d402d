/* SPDX-License-Identifier: MIT */
/*
 * subsystem.h - the table of subsystems (RFC 4254, section 6.5).
 */
#ifndef BERTH_AGENT_SESSION_SUBSYSTEM_H
#define BERTH_AGENT_SESSION_SUBSYSTEM_H

struct channel;

/* Returns 0 if granted. */
int subsystem_start(struct channel *channel, const char *name);

#endif
