/* SPDX-License-Identifier: MIT */
/* The text of a job's usage in the log. */
#include "agent/ipc/job_usage.h"

#include "tests/unit/rows.h"

struct text_row {
    const char *name;
    struct job_usage usage;
    const char *text;
};

#define GIB (1024LL * 1024 * 1024)

static const struct text_row text_rows[] = {
    {"limit",
     {.cpu_ms = 38000,
      .peak_bytes = 1503238553,
      .limit_bytes = 2 * GIB,
      .process_peak_bytes = 1,
      .out_bytes = 12000000},
     "peak memory 1.4 of 2.0 GiB, 38.0 CPU s, 12.0 MB out"},
    {"no limit",
     {.cpu_ms = 40, .peak_bytes = GIB / 2, .limit_bytes = JOB_USAGE_UNKNOWN, .out_bytes = 5},
     "peak memory 512.0 MiB, 0.0 CPU s, 5 B out"},
    {"no cgroup",
     {.peak_bytes = JOB_USAGE_UNKNOWN,
      .limit_bytes = JOB_USAGE_UNKNOWN,
      .process_peak_bytes = 3 * 1024 * 1024,
      .out_bytes = 1500},
     "peak memory 3.0 MiB in one process, 0.0 CPU s, 1.5 kB out"},
    {"OOM kill",
     {.peak_bytes = GIB, .limit_bytes = GIB, .oom_kills = 1},
     "out of memory: OOM kill of 1 processes, peak memory 1.0 of 1.0 GiB, 0.0 CPU s, 0 B out"},
};

static void test_text(void **state)
{
    const struct text_row *row = *state;
    char text[JOB_USAGE_TEXT_BYTES];
    job_usage_describe(&row->usage, text);
    assert_string_equal(text, row->text);
}

int main(void)
{
    return rows_run(text_rows, test_text);
}
