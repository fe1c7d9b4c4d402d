/* SPDX-License-Identifier: MIT */
/*
 * memory_text.h - the text for a job's memory in the logs of the agent and of the job.
 */
#ifndef BERTH_COMMON_MEMORY_TEXT_H
#define BERTH_COMMON_MEMORY_TEXT_H

#include <stdint.h>

#define MEMORY_TEXT_BYTES 64

/* "peak memory 1.4 of 2.0 GiB"; without a limit (below 0) "peak memory 512.0 MiB". */
void memory_describe(int64_t peak_bytes, int64_t limit_bytes, char out[MEMORY_TEXT_BYTES]);

#endif
