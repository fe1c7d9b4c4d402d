/* SPDX-License-Identifier: MIT */
/*
 * predecessor.h - detects a task that GitLab's Fargate driver launched for the same job.
 *
 * Its file in the metadata directory is TOKEN-HASH.json: the runner's short token, and the SHA-256
 * of project URL, pipeline and job. It holds TaskARN, ContainerIP and PrivateKey; only the ARN is
 * read, to be printed.
 */
#ifndef BERTH_DRIVER_RECORD_PREDECESSOR_H
#define BERTH_DRIVER_RECORD_PREDECESSOR_H

#include "common/error.h"

/* Fails (ERROR_SYSTEM) when that driver launched the task of this job, which may still be running.
 */
int predecessor_check(const char *directory, struct error *err) __attribute__((warn_unused_result));

#endif
