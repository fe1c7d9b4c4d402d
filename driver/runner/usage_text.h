/* SPDX-License-Identifier: MIT */
/*
 * usage_text.h - a job's resource usage as one line of its log.
 *
 * It helps to choose the task's size: the container's peak memory and its limit. Without a limit
 * these numbers include other containers, so the job's largest process is shown instead. Nothing
 * fails.
 */
#ifndef BERTH_DRIVER_RUNNER_USAGE_TEXT_H
#define BERTH_DRIVER_RUNNER_USAGE_TEXT_H

#include <stdbool.h>

#include "common/jobwire.h"

#define USAGE_TEXT_BYTES 256

/* Whether the line is printed: always for an OOM kill; for a stage with the user's own script when
 * it took a second of CPU or half of the memory. */
bool usage_text_worth_it(const struct jobwire_usage *usage, bool users_script);

/* "peak memory 1.4 of 2.0 GiB, 38 CPU s"; an OOM kill comes first. */
void usage_text(const struct jobwire_usage *usage, char out[USAGE_TEXT_BYTES]);

#endif
