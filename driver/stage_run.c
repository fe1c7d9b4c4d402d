/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/command.h"
#include "driver/durable.h"
#include "driver/plain_end.h"
#include "driver/script.h"
#include "driver/task.h"
#include "driver/usage_text.h"

#define REASON_PATIENCE_MS 10000
#define REASON_PAUSE_MS    250

static struct result result_of_stage(const struct ssh_outcome *outcome, const char *stage)
{
    if (outcome->cancelled) {
        log_warn("stage '%s' was stopped on request, and the job's processes have ended", stage);
    } else if (outcome->task_stopping) {
        log_error("the task ended its jobs by itself while stage '%s' ran; this is no failure of "
                  "the script",
                  stage);
    } else if (outcome->signal[0] != '\0') {
        log_error("the script of stage '%s' was ended by signal %s", stage, outcome->signal);
    }
    return result_from_outcome(outcome);
}

struct plain {
    struct task *task;
    const char *marker;
};

static int end_plain_job(void *context, struct error *err)
{
    const struct plain *plain = context;
    return plain_end(plain->task, plain->marker, err);
}

/* For a server without durable jobs: plain sshd, or an agent of before. */
static int run_plainly(struct task *task, struct ssh_link *link, const struct ssh_request *request,
                       const char *marker, struct ssh_outcome *out_outcome, struct error *err)
{
    struct plain plain = {.task = task, .marker = marker};
    struct ssh_request own = *request;
    own.end_job = end_plain_job;
    own.end_context = &plain;
    log_debug("the task has no durable jobs: a lost link will end this one");
    int result = ssh_link_run(link, &own, out_outcome, err);
    struct error gone;
    if (result < 0 && task->backend->alive(&task->at_backend, &gone) < 0) {
        (void)error_wrap(err, "%s", gone.message);
    }
    return result;
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
    if (result == 1) {
        result = run_plainly(task, link, &request, script->marker, out_outcome, err);
    }
    ssh_link_free(link);
    return result;
}

/* Why the task ends: an agent that is killed with its container tells sooner than its place knows.
 */
static int ask_why(struct task *task, bool ends, struct error *gone)
{
    int64_t until_ms = clock_deadline_ms(REASON_PATIENCE_MS);
    while (task->backend->alive(&task->at_backend, gone) == 0) {
        if (!ends || clock_now_ms() >= until_ms ||
            signals_wait(task->at_backend.signals, -1, clock_deadline_ms(REASON_PAUSE_MS)) < 0) {
            return 0;
        }
    }
    return -1;
}

/* A script that failed because its task was being stopped did not fail by itself. An agent tells
 * so; with plain sshd, whose sessions get a TERM like any other, only the backend knows. */
static int check_task(struct task *task, const struct ssh_outcome *outcome, struct error *err)
{
    bool failed = outcome->status != 0 || outcome->signal[0] != '\0';
    bool plain = task->backend->any_image && !outcome->usage_known;
    struct error gone;
    if (outcome->cancelled || !(outcome->task_stopping || (failed && plain)) ||
        ask_why(task, outcome->task_stopping, &gone) == 0) {
        return 0;
    }
    return error_set(
        err, ERROR_SYSTEM, 0,
        "the task ended while the script ran, and this is no failure of the script: %s",
        gone.message);
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

/* Stages that run what people wrote, as GitLab Runner names them. */
static bool is_users(const char *stage)
{
    return strncmp(stage, "step_", 5) == 0 || strcmp(stage, "build_script") == 0 ||
           strcmp(stage, "after_script") == 0;
}

/* For the job's log, when it says something: what the job needed, and what it had too little of. */
static void tell_usage(const struct ssh_outcome *outcome, const char *stage)
{
    char text[USAGE_TEXT_BYTES];
    if (outcome->usage_known && usage_text_worth_it(&outcome->usage, is_users(stage))) {
        usage_text(&outcome->usage, text);
        (void)printf("berth: %s\n", text);
        (void)fflush(stdout);
    }
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
        result = check_task(&task, &outcome, err);
    }
    if (result == 0) {
        tell_usage(&outcome, context->argv[1]);
        *out_result = result_of_stage(&outcome, context->argv[1]);
    } else {
        (void)error_wrap(err, "stage '%s'", context->argv[1]);
    }
    script_done(&script);
    task_done(&task);
    return result;
}
