/* SPDX-License-Identifier: MIT */
/*
 * subsystem.h - the subsystems a client may ask for (RFC 4254, section 6.5), as one table.
 */
#ifndef BERTH_AGENT_SESSION_SUBSYSTEM_H
#define BERTH_AGENT_SESSION_SUBSYSTEM_H

struct channel;

/* Returns 0 when the request is granted. */
int subsystem_start(struct channel *channel, const char *name);

#endif
