/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "driver/command.h"
#include "driver/task.h"

static void tell(const struct task *task)
{
    const struct metadata *metadata = task->at_backend.metadata;
    (void)printf("berth: task %s running after %.2f s, reached by SSH at %s port %d after %.2f s\n",
                 task->name, (double)task->launched_after_ms / 1000, metadata->host, metadata->port,
                 (double)task->ready_after_ms / 1000);
    (void)fflush(stdout);
}

static void tell_progress(const char *text)
{
    (void)printf("berth: %s\n", text);
    (void)fflush(stdout);
}

int stage_prepare(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct task task = {
        .at_backend = {.config = context->config,
                       .signals = context->signals,
                       .tell = tell_progress},
        .recorded = true,
    };
    task.backend = backend_choose(context->config, err);
    if (task.backend == NULL || task.backend->check(context->config, err) < 0 ||
        runner_job_key(context->runner, job, err) < 0) {
        return -1;
    }
    /* An attempt before this one, whose cleanup did not come through, is ended first. */
    int found = task_find(&task, job, err);
    if (found < 0 || (found == 1 && task_stop(&task, err) < 0)) {
        task_done(&task);
        return -1;
    }
    task_done(&task);
    (void)printf("berth: launching %s (backend '%s')\n", job, task.backend->name);
    (void)fflush(stdout);
    struct ssh_link *link = NULL;
    int result = task_launch(&task, job, &link, err);
    if (result == 0) {
        tell(&task);
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    ssh_link_free(link);
    task_done(&task);
    return result;
}
