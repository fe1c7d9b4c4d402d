/* SPDX-License-Identifier: MIT */
/*
 * environment.h - the environment of a job: the container's, less what is ours.
 *
 * Runs in a job's monitor, whose own environment lost its secrets in init. The container's
 * variables (ENV of the image, the task role's AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and so on)
 * all reach the job. HOME, USER, LOGNAME and SHELL come from the user's passwd entry when the job
 * runs as another user, and are only filled in where missing when it runs as the agent's own.
 */
#ifndef BERTH_AGENT_JOB_ENVIRONMENT_H
#define BERTH_AGENT_JOB_ENVIRONMENT_H

#include "agent/users.h"

/* Adds the client's own variables, "NAME=VALUE\n" each, and the terminal's type and name; each may
 * be NULL. Call after environment_prepare(). Returns -1 when memory ran out. */
int environment_add(const char *variables, const char *term, const char *terminal_name);

/* Changes this process's environment for the job that it will start. 'client' may be NULL.
 * Returns -1 when memory ran out. */
int environment_prepare(const struct user *user, const char *client);

#endif
