/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "common/buffer.h"
#include "common/log.h"
#include "driver/commands/command.h"
#include "driver/remote/exec.h"
#include "driver/remote/shell_quote.h"
#include "driver/task/find_job.h"
#include "driver/task/task.h"

static int run_in_task(struct task *task, const char *command, struct job_outcome *out_outcome,
                       struct error *err)
{
    struct ssh_connection *connection = NULL;
    struct ssh_request request;
    task_request(task, &request);
    request.command = command;
    request.input_fd = STDIN_FILENO;
    int result = task_connect(task, &connection, err);
    if (result == 0) {
        result = ssh_exec_in_terminal(connection, &request, out_outcome, err);
    }
    ssh_connection_free(connection);
    return result;
}

static int choose_container(const struct command_context *context, struct task *task,
                            struct error *err)
{
    const char *name = context->options->container;
    if (name == NULL || strcmp(name, "job") == 0) {
        return 0;
    }
    if (strcmp(name, "helper") != 0) {
        return error_set(err, ERROR_OPTION, 0, "--container: '%s' is not job or helper", name);
    }
    if (!task->backend_task.metadata->has_helper) {
        return error_set(err, ERROR_USAGE, 0, "the task of '%s' has no helper container",
                         task->backend_task.metadata->record);
    }
    task->container = METADATA_HELPER;
    return 0;
}

/* "JOB", "JOB -- COMMAND" and "JOB COMMAND". */
static int read_words(const struct command_context *context, struct buffer *command,
                      struct error *err)
{
    int skip = context->argc > 1 && strcmp(context->argv[1], "--") == 0 ? 2 : 1;
    return context->argc == skip
               ? 0
               : shell_quote_join(command, context->argc - skip, context->argv + skip, err);
}

int command_ssh(struct command_context *context, struct result *out_result, struct error *err)
{
    struct task task = {.backend_task = {.config = context->config, .signals = context->signals}};
    struct job_outcome outcome = {0};
    struct buffer command;
    buffer_init(&command, SHELL_QUOTE_CEILING_BYTES);
    int result = read_words(context, &command, err);
    if (result == 0) {
        result = find_job(&task, context->argv[0], err);
    }
    if (result == 0) {
        result = choose_container(context, &task, err);
    }
    if (result == 0) {
        log_debug("task %s of '%s'", task.name, task.backend_task.metadata->record);
        result = run_in_task(&task, command.bytes, &outcome, err);
    }
    if (result == 0) {
        *out_result = result_from_outcome(&outcome);
    }
    task_done(&task);
    buffer_done(&command);
    return result;
}
