/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "driver/command.h"
#include "driver/task.h"

int stage_cleanup(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct task task = {.at_backend = {.config = context->config}};
    if (runner_job_key(context->runner, job, err) < 0) {
        return -1;
    }
    if (metadata_note_end(context->config->metadata_directory, job, err) < 0) {
        log_warn("%s", err->message); /* only 'gc' wants to know */
    }
    int result = task_find(&task, job, err);
    if (result == 0) {
        result = metadata_remove(context->config->metadata_directory, job, err);
    } else if (result == 1) {
        result = task_stop(&task, err);
        if (result < 0) {
            (void)error_wrap(err, "cannot end task %s of '%s'", task.name, job);
        } else {
            (void)printf("berth: task %s ended\n", task.name);
        }
    }
    task_done(&task);
    if (result < 0) {
        return -1;
    }
    *out_result = (struct result){.kind = RESULT_SUCCESS};
    return 0;
}
