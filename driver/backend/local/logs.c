/* SPDX-License-Identifier: MIT */
#include "driver/backend/local/logs.h"

#include <limits.h>

#include "common/fd.h"
#include "driver/backend/log_lines.h"
#include "driver/base/json.h"

#define LOG_BYTES (64UL << 20)

int local_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text;
    (void)deadline_ms;
    (void)snprintf(path, sizeof(path), "%s/agent.log",
                   json_text_or_empty(task->metadata->state, "directory"));
    buffer_init(&text, LOG_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result == 0) {
        log_lines_print(out, text.bytes, text.length);
    }
    buffer_done(&text);
    return result;
}
