/* SPDX-License-Identifier: MIT */
/*
 * session.h - one SSH connection, in its own process.
 *
 * init forks it for each accepted socket. It confines itself (confine.h), then parses what the
 * client sends, requests jobs from init (wire.h), moves their bytes and reports their exit status.
 * When it exits, the monitors of its plain jobs see their sockets close and stop the jobs. One
 * loop, without blocking calls:
 *
 *   KEY_EXCHANGE -> LOGIN -> OPEN -> CLOSING -> CLOSED
 *      login grace, attempts and silence are limited   sends what is queued, with a deadline
 */
#ifndef BERTH_AGENT_SESSION_SESSION_H
#define BERTH_AGENT_SESSION_SESSION_H

#include "agent/session/session_setup.h"

/* Serves the connection until it closes. Returns the process's exit status. */
int session_run(const struct session_setup *setup);

#endif
