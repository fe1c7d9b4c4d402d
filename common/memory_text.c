/* SPDX-License-Identifier: MIT */
#include "common/memory_text.h"

#include <stdbool.h>
#include <stdio.h>

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)

void memory_describe(int64_t peak_bytes, int64_t limit_bytes, char out[MEMORY_TEXT_BYTES])
{
    /* One unit for both numbers, by the larger. */
    bool gib = (double)(peak_bytes > limit_bytes ? peak_bytes : limit_bytes) >= GIB;
    double unit = gib ? GIB : MIB;
    const char *name = gib ? "GiB" : "MiB";
    if (limit_bytes >= 0) {
        (void)snprintf(out, MEMORY_TEXT_BYTES, "peak memory %.1f of %.1f %s",
                       (double)peak_bytes / unit, (double)limit_bytes / unit, name);
    } else {
        (void)snprintf(out, MEMORY_TEXT_BYTES, "peak memory %.1f %s", (double)peak_bytes / unit,
                       name);
    }
}
