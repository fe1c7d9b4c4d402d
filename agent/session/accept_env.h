/* SPDX-License-Identifier: MIT */
/*
 * accept_env.h - which variables a client may give its job (RFC 4254, section 6.4).
 *
 * The operator's list of patterns decides; names that steer the dynamic linker, the shell or what
 * the agent itself sets are refused whatever the list says. Runs in a session.
 */
#ifndef BERTH_AGENT_SESSION_ACCEPT_ENV_H
#define BERTH_AGENT_SESSION_ACCEPT_ENV_H

#include <stdbool.h>

#include "common/buffer.h"

/* 'patterns': names separated by commas or blanks, each of which may end in '*'. */
bool accept_env_permits(const char *patterns, const char *name);

/* Appends "NAME=VALUE\n" to the variables of a job, whose ceiling limits them all. False when the
 * variable is not permitted, its value has a line break, or there is no room. */
bool accept_env_add(const char *patterns, const char *name, const char *value,
                    struct buffer *variables);

#endif
