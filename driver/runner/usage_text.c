/* SPDX-License-Identifier: MIT */
#include "driver/runner/usage_text.h"

#include <stdio.h>

#include "common/memory_text.h"

#define CPU_WORTH_MS 1000

/* No machine has more, in bytes or milliseconds: larger values are JOBWIRE_UNKNOWN or forged. */
#define CEILING (1ULL << 50)

static bool known(uint64_t number)
{
    return number < CEILING;
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
    bool busy = known(usage->cpu_ms) && usage->cpu_ms >= CPU_WORTH_MS;
    return was_killed(usage) || (users_script && (busy || big));
}

/* "peak memory 1.4 of 2.0 GiB", "peak memory 3.0 MiB in one process", or nothing. */
static void describe_memory(const struct jobwire_usage *usage, char *out, size_t room)
{
    char memory[MEMORY_TEXT_BYTES];
    if (has_limit(usage)) {
        memory_describe((int64_t)usage->peak_bytes, (int64_t)usage->limit_bytes, memory);
        (void)snprintf(out, room, "%s", memory);
    } else if (known(usage->process_peak_bytes)) {
        memory_describe((int64_t)usage->process_peak_bytes, -1, memory);
        (void)snprintf(out, room, "%s in one process", memory);
    }
}

void usage_text(const struct jobwire_usage *usage, char out[USAGE_TEXT_BYTES])
{
    char killed[96] = "";
    char memory[MEMORY_TEXT_BYTES + 32] = "";
    char cpu[32] = "";
    describe_memory(usage, memory, sizeof(memory));
    if (was_killed(usage)) {
        (void)snprintf(killed, sizeof(killed),
                       "out of memory: the kernel killed %llu process%s of the task (OOM kill)",
                       (unsigned long long)usage->oom_kills, usage->oom_kills == 1 ? "" : "es");
    }
    if (known(usage->cpu_ms)) {
        double cpu_s = (double)usage->cpu_ms / 1000;
        (void)snprintf(cpu, sizeof(cpu), "%.*f CPU s", cpu_s < 10 ? 1 : 0, cpu_s);
    }
    bool more = memory[0] != '\0' || cpu[0] != '\0';
    (void)snprintf(out, USAGE_TEXT_BYTES, "%s%s%s%s%s", killed,
                   killed[0] != '\0' && more ? "; " : "", memory,
                   memory[0] != '\0' && cpu[0] != '\0' ? ", " : "", cpu);
}
