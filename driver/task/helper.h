/* SPDX-License-Identifier: MIT */
/*
 * helper.h - the helper container of a task: git, git-lfs and gitlab-runner for the stages that do
 * not belong to the job's image (driver/runner/stage.h).
 */
#ifndef BERTH_DRIVER_TASK_HELPER_H
#define BERTH_DRIVER_TASK_HELPER_H

#include "driver/task/task.h"

/* Whether git and gitlab-runner can be run there. GitLab Runner's scripts only warn without them,
 * so artifacts would be missing from a job that passed. 'connection' is one to the helper. */
int helper_check(struct task *task, struct ssh_connection *connection, int64_t deadline_ms,
                 struct error *err) __attribute__((warn_unused_result));

/* The same in the job's container of a task without a helper: git, unless the job has no sources;
 * gitlab-runner for a job with artifacts or a cache. 'connection' is one to it. */
int helper_check_job(struct task *task, struct ssh_connection *connection, int64_t deadline_ms,
                     struct error *err) __attribute__((warn_unused_result));

/* Gives what the helper has written in the builds volume to the job's user, once for each task,
 * before the first stage in the job's container. Nothing to do if that user is root. */
int helper_hand_over(struct task *task, struct error *err) __attribute__((warn_unused_result));

#endif
