/* SPDX-License-Identifier: MIT */
#include "driver/usage_text.h"

#include <stdio.h>

#include "common/memory_text.h"

#define CPU_WORTH_MS 1000

static bool known(uint64_t bytes)
{
    return bytes <= INT64_MAX; /* JOBWIRE_UNKNOWN is above */
}

static bool has_limit(const struct jobwire_usage *usage)
{
    return known(usage->limit_bytes) && known(usage->peak_bytes);
}

static bool was_killed(const struct jobwire_usage *usage)
{
    return usage->oom_kills > 0 && known(usage->oom_kills);
}

bool usage_text_worth_it(const struct jobwire_usage *usage, bool users_script)
{
    bool big = has_limit(usage) && usage->peak_bytes > usage->limit_bytes / 2;
    return was_killed(usage) || (users_script && (usage->cpu_ms >= CPU_WORTH_MS || big));
}

void usage_text(const struct jobwire_usage *usage, char out[USAGE_TEXT_BYTES])
{
    char memory[MEMORY_TEXT_BYTES];
    char killed[96] = "";
    bool limit = has_limit(usage);
    memory_describe((int64_t)(limit ? usage->peak_bytes : usage->process_peak_bytes),
                    limit ? (int64_t)usage->limit_bytes : -1, memory);
    if (was_killed(usage)) {
        (void)snprintf(killed, sizeof(killed),
                       "out of memory: the kernel killed %llu process%s of the task (OOM kill); ",
                       (unsigned long long)usage->oom_kills, usage->oom_kills == 1 ? "" : "es");
    }
    double cpu_s = (double)usage->cpu_ms / 1000;
    (void)snprintf(out, USAGE_TEXT_BYTES, "%s%s%s, %.*f CPU s", killed, memory,
                   limit ? "" : " in one process", cpu_s < 10 ? 1 : 0, cpu_s);
}
