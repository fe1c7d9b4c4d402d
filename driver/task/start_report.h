/* SPDX-License-Identifier: MIT */
/*
 * start_report.h - where the time from a launch to the login went, in one line.
 *
 * "task ready after 41.2 s: queued 0.30, placed 6.1, image 412 MB pulled in 27.4, container start
 * 5.2, login 0.08, services 1.6, other 0.52"
 *
 * "task ready after 12.6 s: image pulled in 12.1, container create 0.17, container start 0.25,
 * login 0.05"
 *
 * "advice: the image is pulled from Docker Hub; a pull-through cache in ECR is nearer: [Fargate]
 * ImageRewrite"
 *
 * The first three times of a task on ECS after "queued" are AWS's own, of the task metadata
 * endpoint (version 4), read through the agent; with another SSH server they are those that the
 * last look had, else "-". The driver measures the others. "other" is what is in no part: the wait
 * for the task's address, the agent's start, pauses between tries to connect, and all that is "-".
 */
#ifndef BERTH_DRIVER_TASK_START_REPORT_H
#define BERTH_DRIVER_TASK_START_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "driver/backend/backend.h"

#define START_REPORT_BYTES 256

/* The start begins now: nothing is known. */
void start_report_init(struct backend_start *start);

/* Fills the times from the document of 'berth-agent task-metadata', where it has them. 'container'
 * is the job's. */
void start_report_read(const char *document, const char *container, struct backend_start *start);

/* Advice for a faster download, if the facts support one; the most effective alone. False: none. */
bool start_report_advice(const struct backend_start *start, char out[START_REPORT_BYTES]);

/* 'total_ms' is from the beginning until the task is ready. */
void start_report_text(const struct backend_start *start, int64_t total_ms,
                       char out[START_REPORT_BYTES]);

#endif
