/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - memory limit, memory peak and OOM kills of the container.
 *
 * Supports version 1 (memory controller) and version 2, wherever /proc/self/mountinfo has them. A
 * container's group may be at the root of the mount or below the host's path. Sizes are in bytes.
 * Nothing here fails: what cannot be read is CGROUP_UNKNOWN. Runs in a job's monitor.
 */
#ifndef BERTH_AGENT_MONITOR_CGROUP_H
#define BERTH_AGENT_MONITOR_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/ipc/job_usage.h"

#define CGROUP_PATH_BYTES 1024
#define CGROUP_UNKNOWN    JOB_USAGE_UNKNOWN

struct cgroup {
    int version; /* 1 or 2; 0: not found */
    char directory[CGROUP_PATH_BYTES];
    char mount[CGROUP_PATH_BYTES]; /* the outermost group with a limit */
};

/* From the texts of /proc/self/cgroup and /proc/self/mountinfo. Exported for fuzzing. */
void cgroup_locate(const char *membership, const char *mountinfo, struct cgroup *out_cgroup);

/* The number in a file such as memory.max. No limit, "max" or in version 1 a number near 2^63, is
 * CGROUP_UNKNOWN. Exported for fuzzing. */
int64_t cgroup_number(const char *text);
/* The number of 'key' in a file with lines of "KEY NUMBER". Exported for fuzzing. */
int64_t cgroup_field(const char *text, const char *key);

/* The group of this process. */
void cgroup_find(struct cgroup *out_cgroup);
/* The lowest limit of the group and its parents; CGROUP_UNKNOWN also without a limit. */
int64_t cgroup_limit(const struct cgroup *cgroup);
/* The highest memory usage of the whole group, not of one job. */
int64_t cgroup_peak(const struct cgroup *cgroup);
/* How many processes of the group the OOM killer has killed. */
int64_t cgroup_oom_kills(const struct cgroup *cgroup);

#endif
