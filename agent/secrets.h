/* SPDX-License-Identifier: MIT */
/*
 * secrets.h - removes the agent's variables from the environment.
 *
 * Runs in init during startup, after the options were read. The bytes in the initial environment
 * block are overwritten, so that neither /proc/PID/environ of this process nor any child has
 * SSH_PUBLIC_KEY or a BERTH_ variable.
 */
#ifndef BERTH_AGENT_SECRETS_H
#define BERTH_AGENT_SECRETS_H

/* Removes a variable and returns a copy of its value, which the caller wipes and frees; NULL: it is
 * not set. */
char *secrets_take(const char *name);

/* Removes every variable whose name starts with 'prefix'. */
void secrets_remove_prefix(const char *prefix);

#endif
