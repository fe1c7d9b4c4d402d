/* SPDX-License-Identifier: MIT */
/*
 * session_setup.h - what init gives to a session process. Nothing is owned but the descriptors.
 */
#ifndef BERTH_AGENT_SESSION_SESSION_SETUP_H
#define BERTH_AGENT_SESSION_SESSION_SETUP_H

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

#endif
