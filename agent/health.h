/* SPDX-License-Identifier: MIT */
/*
 * health.h - "berth-agent health": whether the agent of this container answers.
 *
 * Runs in a process of its own, as a container's health check. It needs no key: it reads the
 * server's first line and leaves, so that it stands among the connections that have not logged in
 * for a moment only.
 */
#ifndef BERTH_AGENT_HEALTH_H
#define BERTH_AGENT_HEALTH_H

#include "common/error.h"

/* 'where' is the agent's own --listen. Returns 0 when an SSH server answers within 2 s. */
int health_check(const char *where, struct error *err) __attribute__((warn_unused_result));

#endif
