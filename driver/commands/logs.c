/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/clock.h"
#include "driver/commands/command.h"
#include "driver/task/find_job.h"

#define LOGS_MS 60000

int command_logs(struct command_context *context, struct result *out_result, struct error *err)
{
    struct task task = {.backend_task = {.config = context->config, .signals = context->signals}};
    int result = find_job(&task, context->argv[0], err);
    if (result == 0) {
        result =
            task.backend->logs == NULL
                ? error_set(err, ERROR_USAGE, 0, "the backend '%s' keeps no log of the agent",
                            task.backend->name)
                : task.backend->logs(&task.backend_task, stdout, clock_deadline_ms(LOGS_MS), err);
    }
    task_done(&task);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
