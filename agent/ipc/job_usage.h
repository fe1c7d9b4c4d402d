/* SPDX-License-Identifier: MIT */
/*
 * job_usage.h - CPU time, memory and output of a job, as the monitor reports them to the session.
 *
 * CPU time and the largest process cover every descendant that had been reaped when the job exited,
 * not the leftovers that still run. Peak, limit and OOM kills are the container's: the peak is the
 * highest since the container started, and two jobs that run at once see the same OOM kill. The
 * struct has no padding, since it crosses process boundaries. Nothing here fails.
 */
#ifndef BERTH_AGENT_IPC_JOB_USAGE_H
#define BERTH_AGENT_IPC_JOB_USAGE_H

#include <stdint.h>

#define JOB_USAGE_UNKNOWN    ((int64_t)-1)
#define JOB_USAGE_TEXT_BYTES 256

struct job_usage {
    int64_t cpu_ms;             /* user and system */
    int64_t peak_bytes;         /* of the container */
    int64_t limit_bytes;        /* of the container; JOB_USAGE_UNKNOWN also without a limit */
    int64_t process_peak_bytes; /* resident, of the largest process of the job */
    int64_t oom_kills;          /* in the container while the job ran */
    int64_t out_bytes;          /* stdout and stderr; filled in by the process that reads them */
};

/* "peak memory 1.4 of 2.0 GiB, 38 CPU s, 12 MB out", without what is unknown; an OOM kill comes
 * first. Exported for its unit test. */
void job_usage_describe(const struct job_usage *usage, char out[JOB_USAGE_TEXT_BYTES]);
/* Logs "WHO ended with ...", from the wait status: a warning after an OOM kill. */
void job_usage_log(const char *who, int wait_status, int64_t ran_ms, const struct job_usage *usage);

#endif
