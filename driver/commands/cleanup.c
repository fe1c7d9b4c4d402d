/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/commands/command.h"
#include "driver/commands/job_history.h"
#include "driver/record/predecessor.h"
#include "driver/runner/notice.h"
#include "driver/task/task.h"

int stage_cleanup(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct task task = {.backend_task = {.config = context->config}};
    if (runner_job_key(context->runner, job, err) < 0) {
        return -1;
    }
    if (context->argc > 0) { /* as an error it would leave the task running */
        log_warn("ignoring the unexpected argument '%s'", context->argv[0]);
    }
    if (metadata_note_end(context->config->metadata_directory, job, err) < 0) {
        char text[ERROR_TEXT_BYTES];
        log_warn("%s", error_text(err, text)); /* only 'gc' needs the note */
    }
    int result = task_find(&task, job, err);
    if (result == 0) {
        result = metadata_remove(context->config->metadata_directory, job, err);
        if (result == 0) {
            result = predecessor_check(context->config->metadata_directory, err);
        }
        /* A misspelt key may have led to the wrong metadata directory. */
        if (result == 0 && backend_choose(context->config, err) == NULL) {
            result = -1;
        }
    } else if (result == 1) {
        task_hold(&task);
        result = task_stop(&task, err);
        if (result < 0) {
            (void)error_wrap(err, "cannot stop task %s of '%s'", task.name, job);
        } else {
            notice_print("task %s stopped", task.name);
        }
    }
    task_identity(&task, context->task, sizeof(context->task));
    job_history_task(context, &task);
    task_done(&task);
    if (result < 0) {
        return -1;
    }
    *out_result = (struct result){.kind = RESULT_SUCCESS};
    return 0;
}
