/* SPDX-License-Identifier: MIT */
/*
 * secrets.h - takes what the agent alone may know out of the environment.
 *
 * Runs in init, first of all. The bytes in the initial environment block are overwritten, so that
 * /proc/PID/environ of this process and the environment of everything it starts have neither
 * SSH_PUBLIC_KEY nor any BERTH_ variable. Options must have been read before, since their
 * environment twins go too (their texts are copied).
 */
#ifndef BERTH_AGENT_SECRETS_H
#define BERTH_AGENT_SECRETS_H

/* The value of an environment variable as a copy that the caller frees after wiping it, NULL when
 * unset; the original is wiped and removed. */
char *secrets_take(const char *name);

/* Wipes and removes every variable whose name starts with 'prefix'. */
void secrets_remove_prefix(const char *prefix);

#endif
