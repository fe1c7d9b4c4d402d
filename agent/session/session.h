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

#include <stdbool.h>

#include "agent/options.h"
#include "agent/session/authorized_keys.h"
#include "agent/session/server.h"

struct session_setup {
    int connection;     /* the accepted socket, taken */
    int control;        /* to init, taken */
    const char *peer;   /* "ADDRESS port N", for the log */
    const char *client; /* value of SSH_CONNECTION */
    bool quiet; /* log only errors before the login: many connections of its address failed */
    const struct agent_options *options;
    const struct server *server;
    const struct authorized *authorized;
};

/* Serves the connection until it closes. Returns the process's exit status. */
int session_run(const struct session_setup *setup);

#endif
