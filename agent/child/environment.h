/* SPDX-License-Identifier: MIT */
/*
 * environment.h - the environment of a job: the container's, without the agent's variables.
 *
 * Runs in a job's monitor, whose environment has no secrets (secrets.h). The job gets all variables
 * of the container, such as ENV of the image and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI. HOME,
 * USER, LOGNAME and SHELL come from the user's passwd entry if the job runs as another user than
 * the agent; otherwise they are set only if they are missing. With --helper, git trusts directories
 * of other users.
 */
#ifndef BERTH_AGENT_CHILD_ENVIRONMENT_H
#define BERTH_AGENT_CHILD_ENVIRONMENT_H

#include <stdbool.h>

#include "agent/options.h"
#include "agent/users.h"

/* Adds the client's variables, lines of "NAME=VALUE", and the terminal's type and name; each may be
 * NULL. Call after environment_prepare(). Returns -1 when out of memory. */
int environment_add(const char *variables, const char *term, const char *terminal_name);

/* Changes this process's environment for the job that it will start. 'client' may be NULL.
 * SSH_CLIENT is set only if the user's shell runs the command, since it makes bash read ~/.bashrc.
 * Returns -1 when out of memory. */
int environment_prepare(const struct user *user, const char *client, bool login_shell,
                        const struct agent_options *options);

/* The PATH of jobs: 'first', --path-before, the container's PATH or Docker's default, --path-after,
 * 'last'; each but the container's may be NULL. The caller frees it; NULL: out of memory. */
char *environment_path(const struct agent_options *options, const char *first, const char *last);

#endif
