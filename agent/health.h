/* SPDX-License-Identifier: MIT */
/*
 * health.h - "berth-agent health": checks that the agent in this container answers.
 *
 * Runs in its own process, as a container's health check. It needs no key: it reads the server's
 * version line and disconnects.
 */
#ifndef BERTH_AGENT_HEALTH_H
#define BERTH_AGENT_HEALTH_H

#include "common/error.h"

/* 'where' is the agent's --listen. Returns 0 if an SSH server answers within 2 s. */
int health_check(const char *where, struct error *err) __attribute__((warn_unused_result));

#endif
