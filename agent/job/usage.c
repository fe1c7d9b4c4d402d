/* SPDX-License-Identifier: MIT */
#include "agent/job/usage.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/memory_text.h"

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
    char memory[MEMORY_TEXT_BYTES];
    char output[32];
    char oom[64] = "";
    bool whole = usage->peak_bytes != USAGE_UNKNOWN;
    memory_describe(whole ? usage->peak_bytes : usage->process_peak_bytes, usage->limit_bytes,
                    memory);
    describe_output(usage->out_bytes, output, sizeof(output));
    if (usage->oom_kills > 0) {
        (void)snprintf(oom, sizeof(oom), "out of memory: OOM kill of %d processes, ",
                       (int)usage->oom_kills);
    }
    (void)snprintf(out, USAGE_TEXT_BYTES, "%s%s%s, %.1f CPU s, %s", oom, memory,
                   whole ? "" : " in one process", (double)usage->cpu_ms / 1000.0, output);
}

void usage_log(const char *who, int wait_status, int64_t ran_ms, const struct job_usage *usage)
{
    bool signalled = WIFSIGNALED(wait_status);
    char text[USAGE_TEXT_BYTES];
    usage_describe(usage, text);
    log_line(usage->oom_kills > 0 ? LOG_WARN : LOG_INFO, "%s ended with %s %d after %.3f s, %s",
             who, signalled ? "signal" : "status",
             signalled ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status), (double)ran_ms / 1000.0,
             text);
}
