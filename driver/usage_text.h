/* SPDX-License-Identifier: MIT */
/*
 * usage_text.h - what a job cost, as one line of its log.
 *
 * Written for people who choose the task's size: the container's peak against its limit. Without a
 * limit the container's numbers are those of whatever else runs there, so the job's largest process
 * is named instead. Pure; nothing fails.
 */
#ifndef BERTH_DRIVER_USAGE_TEXT_H
#define BERTH_DRIVER_USAGE_TEXT_H

#include <stdbool.h>

#include "common/jobwire.h"

#define USAGE_TEXT_BYTES 256

/* Worth a line: an OOM kill always; of a stage with people's own script what took a second of CPU
 * or half of the memory. */
bool usage_text_worth_it(const struct jobwire_usage *usage, bool users_script);

/* "peak memory 1.4 of 2.0 GiB, 38 CPU s"; an OOM kill comes first. */
void usage_text(const struct jobwire_usage *usage, char out[USAGE_TEXT_BYTES]);

#endif
