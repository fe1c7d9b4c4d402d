/* SPDX-License-Identifier: MIT */
/*
 * usage.h - measures what a job uses (job_usage.h), from the kernel's counters.
 *
 * Runs in the job's monitor. Nothing here fails: a counter that cannot be read is unknown.
 */
#ifndef BERTH_AGENT_MONITOR_USAGE_H
#define BERTH_AGENT_MONITOR_USAGE_H

#include <stdint.h>

#include "agent/ipc/job_usage.h"
#include "agent/monitor/cgroup.h"

struct usage_watch {
    struct cgroup cgroup;
    int64_t oom_kills; /* when the job started */
};

/* Before the job starts, in a process that has waited for no other child. */
void usage_begin(struct usage_watch *out_watch);
/* After it was reaped; out_bytes is left 0. */
void usage_end(const struct usage_watch *watch, struct job_usage *out_usage);

#endif
