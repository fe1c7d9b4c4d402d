/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - what the kernel counts for the container: memory limit, peak, OOM kills.
 *
 * Version 1 (memory controller) and version 2, found through /proc/self/cgroup and
 * /proc/self/mountinfo; nothing is assumed about where cgroups are mounted, and a container sees
 * its own group at the root of the mount as well as below the host's path. Sizes are bytes. Nothing
 * here fails: what cannot be read is CGROUP_UNKNOWN. Runs in a job's monitor. The functions on
 * texts have no side effects; tests feed them files of real machines.
 */
#ifndef BERTH_AGENT_JOB_CGROUP_H
#define BERTH_AGENT_JOB_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#define CGROUP_PATH_BYTES 1024
#define CGROUP_UNKNOWN    ((int64_t)-1)

struct cgroup {
    int version; /* 1 or 2; 0: none found */
    char directory[CGROUP_PATH_BYTES];
    char mount[CGROUP_PATH_BYTES]; /* where limits of enclosing groups end */
};

/* From the texts of /proc/self/cgroup and /proc/self/mountinfo. */
void cgroup_locate(const char *membership, const char *mountinfo, struct cgroup *out_cgroup);

/* The single number of a file such as memory.max; "max", and version 1's way to say it, a number
 * near 2^63, are CGROUP_UNKNOWN. */
int64_t cgroup_number(const char *text);
/* The number after 'key' in a file of lines "KEY NUMBER". */
int64_t cgroup_field(const char *text, const char *key);

/* Of this process. */
void cgroup_find(struct cgroup *out_cgroup);
/* The nearest limit of the group and those around it; CGROUP_UNKNOWN also when there is none. */
int64_t cgroup_limit(const struct cgroup *cgroup);
/* The most the whole group ever used, not only one job. */
int64_t cgroup_peak(const struct cgroup *cgroup);
/* How many processes of the group the OOM killer has ended. */
int64_t cgroup_oom_kills(const struct cgroup *cgroup);

#endif
