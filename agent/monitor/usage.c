/* SPDX-License-Identifier: MIT */
#include "agent/monitor/usage.h"

#include <sys/resource.h>

void usage_begin(struct usage_watch *out_watch)
{
    cgroup_find(&out_watch->cgroup);
    out_watch->oom_kills = cgroup_oom_kills(&out_watch->cgroup);
}

static int64_t milliseconds(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000 + time->tv_usec / 1000;
}

void usage_end(const struct usage_watch *watch, struct job_usage *out_usage)
{
    struct rusage children = {0};
    int64_t oom_kills = cgroup_oom_kills(&watch->cgroup);
    (void)getrusage(RUSAGE_CHILDREN, &children); /* cannot fail with these arguments */
    *out_usage = (struct job_usage){
        .cpu_ms = milliseconds(&children.ru_utime) + milliseconds(&children.ru_stime),
        .peak_bytes = cgroup_peak(&watch->cgroup),
        .limit_bytes = cgroup_limit(&watch->cgroup),
        .process_peak_bytes = (int64_t)children.ru_maxrss * 1024,
        .oom_kills = oom_kills > watch->oom_kills && watch->oom_kills != CGROUP_UNKNOWN
                         ? oom_kills - watch->oom_kills
                         : 0,
    };
}
