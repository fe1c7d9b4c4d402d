/* SPDX-License-Identifier: MIT */
#include "agent/job/usage.h"

#include <stdio.h>
#include <sys/resource.h>

#define KIB 1024.0
#define MIB (1024.0 * KIB)
#define GIB (1024.0 * MIB)

_Static_assert(sizeof(struct job_usage) == 6 * sizeof(int64_t), "no gaps");

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
        .oom_kills = oom_kills > watch->oom_kills && watch->oom_kills != USAGE_UNKNOWN
                         ? oom_kills - watch->oom_kills
                         : 0,
    };
}

static void describe_memory(const struct job_usage *usage, char *out, size_t room)
{
    int64_t bytes = usage->peak_bytes;
    const char *whose = "";
    if (bytes == USAGE_UNKNOWN) {
        bytes = usage->process_peak_bytes;
        whose = " in one process";
    }
    /* Both numbers in one unit, chosen by the larger. */
    int64_t larger = bytes > usage->limit_bytes ? bytes : usage->limit_bytes;
    bool gib = (double)larger >= GIB;
    double unit = gib ? GIB : MIB;
    const char *name = gib ? "GiB" : "MiB";
    if (usage->limit_bytes != USAGE_UNKNOWN) {
        (void)snprintf(out, room, "peak memory %.1f of %.1f %s%s", (double)bytes / unit,
                       (double)usage->limit_bytes / unit, name, whose);
    } else {
        (void)snprintf(out, room, "peak memory %.1f %s%s", (double)bytes / unit, name, whose);
    }
}

static void describe_output(int64_t bytes, char *out, size_t room)
{
    if (bytes < 1000) {
        (void)snprintf(out, room, "%d B out", (int)bytes);
    } else if (bytes < 1000000) {
        (void)snprintf(out, room, "%.1f kB out", (double)bytes / 1e3);
    } else {
        (void)snprintf(out, room, "%.1f MB out", (double)bytes / 1e6);
    }
}

void usage_describe(const struct job_usage *usage, char out[USAGE_TEXT_BYTES])
{
    char memory[96];
    char output[32];
    char oom[64] = "";
    describe_memory(usage, memory, sizeof(memory));
    describe_output(usage->out_bytes, output, sizeof(output));
    if (usage->oom_kills > 0) {
        (void)snprintf(oom, sizeof(oom), "out of memory: OOM kill of %d processes, ",
                       (int)usage->oom_kills);
    }
    (void)snprintf(out, USAGE_TEXT_BYTES, "%s%s, %.1f CPU s, %s", oom, memory,
                   (double)usage->cpu_ms / 1000.0, output);
}
