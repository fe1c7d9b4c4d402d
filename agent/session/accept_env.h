/* SPDX-License-Identifier: MIT */
/*
 * accept_env.h - which variables a client may set for its job (RFC 4254, section 6.4).
 *
 * --accept-env lists what is permitted. Variables that control the dynamic linker, shells and
 * interpreters, and those that the agent sets, are always refused. Runs in a session.
 */
#ifndef BERTH_AGENT_SESSION_ACCEPT_ENV_H
#define BERTH_AGENT_SESSION_ACCEPT_ENV_H

#include <stdbool.h>

#include "common/buffer.h"

/* Appends "NAME=VALUE\n" to a job's variables. False: the variable is not permitted, its value
 * contains a newline, or the buffer is full. 'patterns' are names separated by commas or blanks;
 * each may end in '*'. */
bool accept_env_add(const char *patterns, const char *name, const char *value,
                    struct buffer *variables);

#endif
