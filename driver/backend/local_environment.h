/* SPDX-License-Identifier: MIT */
/*
 * local_environment.h - the environment of a local task's agent, and so of its jobs.
 *
 * An allow list of ours and [Local] PassEnvironment, then HOME and TMPDIR of the task, then the
 * agent's two key variables, which it keeps from its jobs. The driver's own environment holds
 * the runner's and the job's secrets, so nothing else passes, and CUSTOM_ENV_* never does.
 * The memory is locked and wiped by local_environment_free().
 */
#ifndef BERTH_DRIVER_BACKEND_LOCAL_ENVIRONMENT_H
#define BERTH_DRIVER_BACKEND_LOCAL_ENVIRONMENT_H

#include "driver/config.h"
#include "driver/keys.h"

struct local_environment;

struct local_environment *local_environment_new(const struct config *config, const char *directory,
                                                const struct keys *keys, struct error *err);
void local_environment_free(struct local_environment *environment);
char *const *local_environment_entries(struct local_environment *environment);

#endif
