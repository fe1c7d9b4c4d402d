/* SPDX-License-Identifier: MIT */
/*
 * usage.h - what a job cost: processor time, memory, output.
 *
 * Measured by the job's monitor from the kernel's own accounts, told to the session and the driver.
 * CPU time and the largest process cover every descendant that had been reaped when the job ended;
 * leftovers that still run are not in it. Peak, limit and OOM kills are the container's: the peak
 * is the highest since the container started, and of two jobs at once both see the same OOM kill.
 * struct job_usage has a fixed layout without gaps, as it crosses process boundaries. Nothing here
 * fails; unknown values are USAGE_UNKNOWN.
 */
#ifndef BERTH_AGENT_JOB_USAGE_H
#define BERTH_AGENT_JOB_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/job/cgroup.h"

#define USAGE_UNKNOWN    CGROUP_UNKNOWN
#define USAGE_TEXT_BYTES 256

struct job_usage {
    int64_t cpu_ms;             /* user and system */
    int64_t peak_bytes;         /* of the container */
    int64_t limit_bytes;        /* of the container; USAGE_UNKNOWN also without a limit */
    int64_t process_peak_bytes; /* resident, of the largest process of the job */
    int64_t oom_kills;          /* in the container while the job ran */
    int64_t out_bytes;          /* stdout and stderr; filled in by who moves them */
};

struct usage_watch {
    struct cgroup cgroup;
    int64_t oom_kills; /* at the start */
};

/* Before the job starts, in a process that has waited for no other child. */
void usage_begin(struct usage_watch *out_watch);
/* After it was reaped; out_bytes is left 0. */
void usage_end(const struct usage_watch *watch, struct job_usage *out_usage);

/* "peak memory 1.4 of 2.0 GiB, 38 CPU s, 12 MB out", with what is known; an OOM kill comes first.
 */
void usage_describe(const struct job_usage *usage, char out[USAGE_TEXT_BYTES]);
/* The log's line of a job's end, "WHO ended with ...", from its wait status: a warning when there
 * was an OOM kill. */
void usage_log(const char *who, int wait_status, int64_t ran_ms, const struct job_usage *usage);

#endif
