/* SPDX-License-Identifier: MIT */
/*
 * session.h - one SSH connection, in a process of its own.
 *
 * init forks it for each accepted socket; it confines itself (confine.h), then it alone parses
 * what the client sends. It asks init for
 * jobs (wire.h), moves their bytes and reports their ends. When it goes, the monitors of its jobs
 * see their sockets hang up and end them. One loop, no blocking call:
 *
 *   KEY_EXCHANGE -> LOGIN -> OPEN -> CLOSING -> CLOSED
 *      login grace, tries and silence are limited    flushes what is queued, with a deadline
 */
#ifndef BERTH_AGENT_SESSION_SESSION_H
#define BERTH_AGENT_SESSION_SESSION_H

#include "agent/options.h"
#include "agent/session/authorized.h"
#include "agent/session/server.h"

struct session_setup {
    int connection;     /* the accepted socket, taken */
    int control;        /* to init, taken */
    const char *peer;   /* "ADDRESS port N", for the log */
    const char *client; /* value of SSH_CONNECTION */
    const struct agent_options *options;
    const struct server *server;
    const struct authorized *authorized;
};

/* Serves the connection to its end. Returns the process's exit status. */
int session_run(const struct session_setup *setup);

#endif
