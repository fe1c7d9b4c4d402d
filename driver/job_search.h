/* SPDX-License-Identifier: MIT */
/*
 * job_search.h - the running job that a person means.
 *
 * They may say GitLab's job id, the job's key ("job-ID-HASH") or the name of its task; the metadata
 * directory knows them all. None and several are errors that say what there is.
 */
#ifndef BERTH_DRIVER_JOB_SEARCH_H
#define BERTH_DRIVER_JOB_SEARCH_H

#include <stdbool.h>

#include "common/error.h"
#include "driver/task.h"

/* 'task->at_backend.config' is set; fills the rest as task_find() does. */
int job_search(struct task *task, const char *wanted, struct error *err)
    __attribute__((warn_unused_result));

/* Whether 'wanted' names the job of this key and task. */
bool job_search_matches(const char *wanted, const char *job, const char *task_name);

#endif
