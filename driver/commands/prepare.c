/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "driver/commands/command.h"
#include "driver/commands/job_history.h"
#include "driver/runner/notice.h"
#include "driver/task/launch.h"
#include "driver/task/start_report.h"
#include "driver/warm/warm.h"

#define KEYWORDS_BYTES 256

static void print_ready(const struct task *task, bool is_warm)
{
    char text[START_REPORT_BYTES];
    const struct metadata_agent *agent = &task->backend_task.metadata->agents[METADATA_JOB];
    if (is_warm) {
        notice_print("warm task %s, reached by SSH at %s port %d after %.2f s", task->name,
                     agent->host, agent->port, (double)task->ready_after_ms / 1000);
        return;
    }
    notice_print("task %s running after %.2f s, reached by SSH at %s port %d after %.2f s",
                 task->name, (double)task->launched_after_ms / 1000, agent->host, agent->port,
                 (double)task->ready_after_ms / 1000);
    start_report_text(&task->backend_task.start, task->fetched_after_ms + task->ready_after_ms,
                      text);
    notice_print("%s", text);
    if (start_report_advice(&task->backend_task.start, text)) {
        notice_print("%s", text);
    }
}

static void print_progress(const char *text)
{
    notice_print("%s", text);
}

/* The task of an earlier attempt whose cleanup failed, on any backend. */
static int stop_earlier(const struct command_context *context, const char *job, struct error *err)
{
    struct task earlier = {
        .backend_task = {.config = context->config, .signals = context->signals}};
    int found = task_find(&earlier, job, err);
    int result = found == 1 ? task_stop(&earlier, err) : found;
    task_done(&earlier);
    return result;
}

/* A warning, since another image than the job's runs. */
static void warn_of_keywords(const struct command_context *context, const struct backend *backend)
{
    char keywords[KEYWORDS_BYTES];
    runner_job_keywords(context->runner, keywords, sizeof(keywords));
    if (!backend->uses_keywords && keywords[0] != '\0') {
        log_warn("the backend '%s' ignores %s of this job", backend->name, keywords);
    }
}

int stage_prepare(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct task task = {
        .backend_task = {.config = context->config,
                         .signals = context->signals,
                         .progress = print_progress},
        .has_metadata = true,
    };
    task.backend = backend_choose(context->config, err);
    if (task.backend == NULL || task.backend->check(context->config, err) < 0 ||
        runner_job_key(context->runner, job, err) < 0) {
        return -1;
    }
    warn_of_keywords(context, task.backend);
    origin_of_job(context->config, context->runner, &task.origin);
    if (stop_earlier(context, job, err) < 0) {
        return -1;
    }
    struct ssh_connection *connection = NULL;
    bool taken = false;
    int result = warm_claim(&task, job, &connection, &taken, err);
    bool is_warm = result == 1;
    if (taken && result == 0) {
        warm_replace(context->config, task.backend);
    }
    if (result == 0) {
        notice_print("launching %s (backend '%s')", job, task.backend->name);
        result = task_launch(&task, job, &connection, err);
    }
    if (result >= 0) {
        print_ready(&task, is_warm);
        result = 0;
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    if (is_warm) {
        warm_replace(context->config, task.backend);
    }
    task_identity(&task, context->task, sizeof(context->task));
    job_history_task(context, &task);
    ssh_connection_free(connection);
    task_done(&task);
    return result;
}
