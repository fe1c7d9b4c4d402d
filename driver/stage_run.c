/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "driver/command.h"
#include "driver/durable.h"
#include "driver/script.h"
#include "driver/task.h"

static struct result result_from_outcome(const struct ssh_outcome *outcome, const char *stage)
{
    if (outcome->task_stopping && !outcome->cancelled) { /* a script may even have trapped it */
        log_error("the task was told to stop (Spot interruption, StopTask or shutdown) while stage "
                  "'%s' ran: this is no failure of the script",
                  stage);
        return (struct result){.kind = RESULT_SYSTEM};
    }
    if (outcome->cancelled) {
        log_warn("stage '%s' was stopped on request, and the job's processes have ended", stage);
        return (struct result){.kind = RESULT_CANCELLED};
    }
    if (outcome->signal[0] != '\0') {
        log_error("the script of stage '%s' was ended by signal %s", stage, outcome->signal);
        return result_from_signal(outcome->signal);
    }
    return result_from_status(outcome->status);
}

static int run_script(struct task *task, const struct script *script,
                      struct ssh_outcome *out_outcome, struct error *err)
{
    struct ssh_link *link = NULL;
    struct ssh_request request;
    task_request(task, &request);
    request.command = script->command.bytes;
    request.input = script->input.bytes;
    request.input_length = script->input.length;
    int result = task_connect(task, &link, err);
    if (result == 0) {
        result = durable_end_leftover(task, &link, err);
    }
    if (result == 0) {
        result = durable_run(task, &link, &request, out_outcome, err);
    }
    if (result == 1) { /* plain sshd, or an agent that is older than this */
        log_debug("the task has no durable jobs: a lost link will end this one");
        result = ssh_link_run(link, &request, out_outcome, err);
    }
    if (result < 0) { /* say it when the task itself is what went away */
        struct error gone;
        if (task->backend->alive(&task->at_backend, &gone) < 0) {
            (void)error_wrap(err, "%s", gone.message);
        }
    }
    ssh_link_free(link);
    return result;
}

static int find_task(struct task *task, const struct command_context *context, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    if (runner_job_key(context->runner, job, err) < 0) {
        return -1;
    }
    int found = task_find(task, job, err);
    if (found == 0) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "no task for '%s' in '%s'; 'prepare' of this job did not succeed, or "
                         "'cleanup' has been here",
                         job, context->config->metadata_directory);
    }
    return found < 0 ? -1 : 0;
}

int stage_run(struct command_context *context, struct result *out_result, struct error *err)
{
    if (context->argc != 2) {
        return error_set(
            err, ERROR_USAGE, 0,
            "'custom run' takes a script file and the name of a stage; it got %d words",
            context->argc);
    }
    struct task task = {.at_backend = {.config = context->config, .signals = context->signals}};
    struct ssh_outcome outcome = {0};
    struct script script;
    int result = script_frame_file(context->argv[0], &script, err);
    if (result < 0) {
        script_done(&script);
        return -1;
    }
    result = find_task(&task, context, err);
    if (result == 0) {
        result = run_script(&task, &script, &outcome, err);
    }
    if (result == 0) {
        *out_result = result_from_outcome(&outcome, context->argv[1]);
    } else {
        (void)error_wrap(err, "stage '%s'", context->argv[1]);
    }
    script_done(&script);
    task_done(&task);
    return result;
}
