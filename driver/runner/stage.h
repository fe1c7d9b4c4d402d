/* SPDX-License-Identifier: MIT */
/*
 * stage.h - the names of the stages for which GitLab Runner calls 'run'.
 *
 * Source: common/build.go of GitLab Runner (BuildStage, getPredefinedEnv).
 */
#ifndef BERTH_DRIVER_RUNNER_STAGE_H
#define BERTH_DRIVER_RUNNER_STAGE_H

#include <stdbool.h>

/* Whether GitLab Runner's own executors run the stage in their helper image. */
bool stage_is_predefined(const char *stage);

/* Whether the stage has a script of .gitlab-ci.yml. */
bool stage_is_users(const char *stage);

#endif
