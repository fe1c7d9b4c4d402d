/* SPDX-License-Identifier: MIT */
/*
 * find_job.h - finds a running job by GitLab's job id, the job's key ("job-ID-HASH") or its task's
 * name.
 *
 * No match and several matches are errors that list the running jobs.
 */
#ifndef BERTH_DRIVER_TASK_FIND_JOB_H
#define BERTH_DRIVER_TASK_FIND_JOB_H

#include "common/error.h"
#include "driver/task/task.h"

/* 'task->backend_task.config' is set; fills the rest as task_find() does. */
int find_job(struct task *task, const char *wanted, struct error *err)
    __attribute__((warn_unused_result));

#endif
