/* SPDX-License-Identifier: MIT */
#include "agent/ipc/job_usage.h"

#include <stdio.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/memory_text.h"

_Static_assert(sizeof(struct job_usage) == 6 * sizeof(int64_t), "no gaps");

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

void job_usage_describe(const struct job_usage *usage, char out[JOB_USAGE_TEXT_BYTES])
{
    char memory[MEMORY_TEXT_BYTES];
    char output[32];
    char oom[64] = "";
    bool whole = usage->peak_bytes != JOB_USAGE_UNKNOWN;
    memory_describe(whole ? usage->peak_bytes : usage->process_peak_bytes, usage->limit_bytes,
                    memory);
    describe_output(usage->out_bytes, output, sizeof(output));
    if (usage->oom_kills > 0) {
        (void)snprintf(oom, sizeof(oom), "out of memory: OOM kill of %d processes, ",
                       (int)usage->oom_kills);
    }
    (void)snprintf(out, JOB_USAGE_TEXT_BYTES, "%s%s%s, %.1f CPU s, %s", oom, memory,
                   whole ? "" : " in one process", (double)usage->cpu_ms / 1000.0, output);
}

void job_usage_log(const char *who, int wait_status, int64_t ran_ms, const struct job_usage *usage)
{
    bool signalled = WIFSIGNALED(wait_status);
    char text[JOB_USAGE_TEXT_BYTES];
    job_usage_describe(usage, text);
    log_line(usage->oom_kills > 0 ? LOG_WARN : LOG_INFO, "%s ended with %s %d after %.3f s, %s",
             who, signalled ? "signal" : "status",
             signalled ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status), (double)ran_ms / 1000.0,
             text);
}
