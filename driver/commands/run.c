/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/base/json.h"
#include "driver/commands/command.h"
#include "driver/commands/job_history.h"
#include "driver/remote/exec.h"
#include "driver/remote/script_bootstrap.h"
#include "driver/runner/git_hint.h"
#include "driver/runner/notice.h"
#include "driver/runner/stage.h"
#include "driver/runner/usage_text.h"
#include "driver/task/helper.h"
#include "driver/task/legacy_sshd.h"
#include "driver/task/resumable_job.h"
#include "driver/task/service_logs.h"
#include "driver/task/task.h"

#define ENTRYPOINT_BYTES 128

/* The program of the job's 'entrypoint:', which starts the shell of this stage; empty: none. */
static void read_entrypoint(const struct command_context *context, const struct task *task,
                            char out_program[ENTRYPOINT_BYTES])
{
    cJSON *response = NULL;
    struct error ignored; /* it only explains another failure */
    out_program[0] = '\0';
    if (task->container != METADATA_JOB || !task->backend_task.metadata->has_helper ||
        runner_read_response(context->runner, &response, &ignored) < 0) {
        return;
    }
    const cJSON *words = json_at(response, "image.entrypoint");
    const cJSON *first = cJSON_IsArray(words) ? cJSON_GetArrayItem(words, 0) : words;
    if (cJSON_IsString(first)) {
        (void)snprintf(out_program, ENTRYPOINT_BYTES, "%s", first->valuestring);
    }
    json_delete_wiped(response);
}

static struct result result_of_stage(const struct job_outcome *outcome, const char *entrypoint,
                                     const char *stage)
{
    if (outcome->cancelled) {
        log_warn("stage '%s' was stopped on request, and the job's processes have ended", stage);
        if (outcome->unbegun && entrypoint[0] != '\0') {
            log_warn(
                "the job's entrypoint '%s' had not started the script; " RESULT_ENTRYPOINT_HINT,
                entrypoint);
        }
    } else if (outcome->task_stopping) {
        log_error("the task was stopped while stage '%s' ran; this is not a failure of the "
                  "script",
                  stage);
    } else if (outcome->signal[0] != '\0') {
        log_error("the script of stage '%s' was killed by signal %s", stage, outcome->signal);
    }
    return result_from_outcome(outcome);
}

struct plain {
    struct task *task;
    const char *marker;
};

static int end_plain_job(void *context, int64_t deadline_ms, struct error *err)
{
    const struct plain *plain = context;
    return legacy_sshd_kill(plain->task, plain->marker, deadline_ms, err);
}

/* For a server without resumable jobs: sshd, or an older agent. */
static int run_plainly(struct task *task, struct ssh_connection *connection,
                       const struct ssh_request *request, const char *marker,
                       struct job_outcome *out_outcome, struct error *err)
{
    struct plain plain = {.task = task, .marker = marker};
    struct ssh_request own = *request;
    own.words = NULL; /* sshd takes a command line only */
    own.end_job = end_plain_job;
    own.end_context = &plain;
    log_debug("the task has no resumable jobs: a lost connection will end this one");
    int result = ssh_exec(connection, &own, out_outcome, err);
    return result < 0 ? task_explain(task, true, err) : result;
}

/* What an interrupted driver left running in the container that this stage does not use. */
static int end_leftover_elsewhere(const struct task *task, struct error *err)
{
    struct ssh_connection *connection = NULL;
    struct task other = *task; /* shares the metadata, which stays the stage's */
    other.container = task->container == METADATA_JOB ? METADATA_HELPER : METADATA_JOB;
    other.watch = (struct task_watcher){0};
    if (!task->backend_task.metadata->has_helper || !resumable_job_is_left(&other)) {
        return 0;
    }
    int result = task_connect(&other, &connection, err);
    if (result == 0) {
        result = resumable_job_end_leftover(&other, &connection, err);
    }
    task_watcher_stop(&other.watch);
    ssh_connection_free(connection);
    return result;
}

static int run_script(struct task *task, struct script_bootstrap *script,
                      struct job_outcome *out_outcome, struct error *err)
{
    struct ssh_connection *connection = NULL;
    struct ssh_request request;
    task_request(task, &request);
    request.command = script->command.bytes;
    request.words = script->words.bytes;
    request.words_length = script->words.length;
    request.sign = &script->sign;
    request.input = script->input.bytes;
    request.input_length = script->input.length;
    int result = end_leftover_elsewhere(task, err);
    if (result == 0 && task->container == METADATA_JOB) {
        result = helper_hand_over(task, err);
    }
    if (result == 0) {
        result = task_connect(task, &connection, err);
    }
    if (result == 0) {
        result = resumable_job_end_leftover(task, &connection, err);
    }
    if (result == 0) {
        result = resumable_job_run(task, &connection, &request, out_outcome, err);
    }
    if (result == 1) {
        result = run_plainly(task, connection, &request, script->marker, out_outcome, err);
    }
    ssh_connection_free(connection);
    return result;
}

/* A script that failed because its task was being stopped is a system failure. The agent reports
 * it; with sshd, whose sessions get SIGTERM like any process, only the backend knows. */
static int check_task(struct task *task, const struct job_outcome *outcome, struct error *err)
{
    bool failed = outcome->status != 0 || outcome->signal[0] != '\0' || outcome->unbegun;
    bool plain = task->backend->may_lack_agent && !outcome->usage_known;
    struct error gone;
    if (outcome->cancelled || !(outcome->task_stopping || (failed && plain)) ||
        task_why(task, outcome->task_stopping, &gone) == 0) {
        return 0;
    }
    return error_set(err, ERROR_SYSTEM, 0,
                     "the task ended while the script ran; this is not a failure of the script: %s",
                     gone.message);
}

/* The runner that starts a stage exists. If the process in the metadata does not, it was not the
 * runner, and 'gc' must not look for it. */
static void check_origin(const struct task *task)
{
    char machine[RUNNER_ID_BYTES];
    struct error own;
    const struct config *config = task->backend_task.config;
    struct metadata *metadata = task->backend_task.metadata;
    runner_id_get(config, machine);
    if (origin_is_gone(&metadata->origin, machine)) {
        metadata->origin.process.pid = 0;
        if (metadata_save(metadata, config->metadata_directory, &own) < 0) {
            log_debug("%s", own.message);
        }
    }
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
                         "no task for '%s' in '%s': this job's 'prepare' failed or its 'cleanup' "
                         "has already run",
                         job, context->config->metadata_directory);
    }
    if (found == 1) {
        task_hold(task);
        check_origin(task);
    }
    return found < 0 ? -1 : 0;
}

/* Resource usage for the job's log, if it is worth a line. */
static void print_usage(const struct job_outcome *outcome, const char *stage)
{
    char text[USAGE_TEXT_BYTES];
    if (outcome->usage_known && usage_text_worth_it(&outcome->usage, stage_is_users(stage))) {
        usage_text(&outcome->usage, text);
        notice_print("%s", text);
    }
}

/* In the helper container git is not missing: helper.h has checked it. */
static void print_git_hint(const struct task *task, const struct job_outcome *outcome,
                           const char *stage, const struct buffer *script)
{
    bool gitlabs = stage_is_predefined(stage);
    const char *hint = git_hint(gitlabs ? GIT_HINT_GITLABS : GIT_HINT_SCRIPT, outcome->status,
                                script->bytes, script->length);
    if (hint != NULL && outcome->signal[0] == '\0' && !outcome->cancelled &&
        !outcome->task_stopping && task->container == METADATA_JOB) {
        notice_print("%s", hint);
    }
}

int stage_run(struct command_context *context, struct result *out_result, struct error *err)
{
    if (context->argc != 2) {
        return error_set(err, ERROR_USAGE, 0, "'custom run' needs a script file and a stage name");
    }
    struct task task = {.backend_task = {.config = context->config, .signals = context->signals}};
    struct job_outcome outcome = {0};
    struct script_bootstrap script;
    struct service_logs logs;
    char entrypoint[ENTRYPOINT_BYTES] = "";
    if (backend_choose(context->config, err) == NULL) {
        return -1;
    }
    int result = script_bootstrap_read(context->argv[0], &script, err);
    if (result < 0) {
        script_bootstrap_done(&script);
        return -1;
    }
    result = find_task(&task, context, err);
    if (result == 0 && task.backend_task.metadata->has_helper &&
        stage_is_predefined(context->argv[1])) {
        task.container = METADATA_HELPER;
    }
    if (result == 0) {
        service_logs_start(&logs, &task);
        result = run_script(&task, &script, &outcome, err);
        service_logs_stop(&logs, &task);
    }
    if (result == 0) {
        result = check_task(&task, &outcome, err);
    }
    if (result == 0 && outcome.unbegun) {
        read_entrypoint(context, &task, entrypoint);
        result = result_check_begun(&outcome, entrypoint, err);
    }
    if (result == 0) {
        print_usage(&outcome, context->argv[1]);
        print_git_hint(&task, &outcome, context->argv[1], &script.input);
        if (strcmp(context->argv[1], "cleanup_file_variables") == 0) {
            job_history_print_cost(context, &task);
        }
        *out_result = result_of_stage(&outcome, entrypoint, context->argv[1]);
    } else {
        (void)error_wrap(err, "stage '%s'", context->argv[1]);
    }
    task_identity(&task, context->task, sizeof(context->task));
    job_history_outcome(context, &outcome);
    script_bootstrap_done(&script);
    task_done(&task);
    return result;
}
