/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "common/buffer.h"
#include "common/log.h"
#include "driver/command.h"
#include "driver/job_search.h"
#include "driver/shell_words.h"
#include "driver/ssh_terminal.h"
#include "driver/task.h"

static int run_in_task(struct task *task, const char *command, struct ssh_outcome *out_outcome,
                       struct error *err)
{
    struct ssh_link *link = NULL;
    struct ssh_request request;
    task_request(task, &request);
    request.command = command;
    request.input_fd = STDIN_FILENO;
    int result = task_connect(task, &link, err);
    if (result == 0) {
        result = ssh_run_in_terminal(link, &request, out_outcome, err);
    }
    ssh_link_free(link);
    return result;
}

/* "JOB", "JOB -- COMMAND" and "JOB COMMAND". */
static int read_words(const struct command_context *context, struct buffer *command,
                      struct error *err)
{
    int skip = context->argc > 1 && strcmp(context->argv[1], "--") == 0 ? 2 : 1;
    if (context->argc == 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "'ssh' needs a job: GitLab's job id, the job's key or its task's name");
    }
    return context->argc == skip
               ? 0
               : shell_words_join(command, context->argc - skip, context->argv + skip, err);
}

int command_ssh(struct command_context *context, struct result *out_result, struct error *err)
{
    struct task task = {.at_backend = {.config = context->config, .signals = context->signals}};
    struct ssh_outcome outcome = {0};
    struct buffer command;
    buffer_init(&command, SHELL_WORDS_CEILING_BYTES);
    int result = read_words(context, &command, err);
    if (result == 0) {
        result = job_search(&task, context->argv[0], err);
    }
    if (result == 0) {
        log_debug("task %s of '%s'", task.name, task.at_backend.metadata->job);
        result = run_in_task(&task, command.bytes, &outcome, err);
    }
    if (result == 0) {
        *out_result = result_from_outcome(&outcome);
    }
    task_done(&task);
    buffer_done(&command);
    return result;
}
