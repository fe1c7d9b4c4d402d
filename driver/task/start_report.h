/* SPDX-License-Identifier: MIT */
/*
 * start_report.h - where the time from a launch to the login went, in one line.
 *
 * "task ready after 41.2 s: placed 6.1, image 412 MB pulled in 27.4, container start 7.2, login
 * 0.5"
 *
 * "task ready after 12.6 s: image pulled in 12.1, container start 0.42, login 0.05"
 *
 * "advice: the image is pulled from Docker Hub; a pull-through cache in ECR is nearer: [Fargate]
 * ImageRewrite"
 *
 * The times of a task on ECS are AWS's own, of the task metadata endpoint (version 4), read through
 * the agent; with another SSH server they are "-". Times are milliseconds, -1: not known.
 */
#ifndef BERTH_DRIVER_TASK_START_REPORT_H
#define BERTH_DRIVER_TASK_START_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "driver/backend/backend.h"

#define START_REPORT_BYTES 256

/* Nothing is known. */
void start_report_init(struct backend_start *start);

/* Fills the times from the document of 'berth-agent task-metadata', where it has them. 'container'
 * is the job's. */
void start_report_read(const char *document, const char *container, struct backend_start *start);

/* Advice for a faster download, if the facts support one; the most effective alone. False: none. */
bool start_report_advice(const struct backend_start *start, char out[START_REPORT_BYTES]);

/* 'total_ms' is from the launch to the login; the login has what the other parts leave. */
void start_report_text(const struct backend_start *start, int64_t total_ms,
                       char out[START_REPORT_BYTES]);

#endif
