/* SPDX-License-Identifier: MIT */
/*
 * task_metadata.h - 'berth-agent task-metadata': what ECS says about this task.
 *
 * Source: Amazon ECS Developer Guide, "Task metadata endpoint version 4", path /task.
 */
#ifndef BERTH_AGENT_COMMANDS_TASK_METADATA_H
#define BERTH_AGENT_COMMANDS_TASK_METADATA_H

#include <stdint.h>

#include "common/error.h"

/* Prints the document of the address 'base', "http://ADDRESS[:PORT]/PATH" with a numeric IPv4
 * address, NULL: there is none. At most LIMIT_TASK_METADATA_BYTES, within 'timeout_ms'. */
int task_metadata(const char *base, int64_t timeout_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
