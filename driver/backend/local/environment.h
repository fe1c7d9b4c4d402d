/* SPDX-License-Identifier: MIT */
/*
 * environment.h - the environment of a local task's agent, and so of its jobs.
 *
 * A fixed allow list and [Local] PassEnvironment, then HOME and TMPDIR of the task, then the
 * agent's two key variables, which it hides from its jobs. Nothing else is passed, CUSTOM_ENV_*
 * never: the driver's environment holds secrets of the runner and of the job. The memory is locked
 * and wiped by local_environment_free().
 */
#ifndef BERTH_DRIVER_BACKEND_LOCAL_ENVIRONMENT_H
#define BERTH_DRIVER_BACKEND_LOCAL_ENVIRONMENT_H

#include "driver/config/config.h"
#include "driver/record/keys.h"

struct local_environment;

struct local_environment *local_environment_new(const struct config *config, const char *directory,
                                                const struct keys *keys, struct error *err);
void local_environment_free(struct local_environment *environment);
char *const *local_environment_entries(struct local_environment *environment);

#endif
