/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/log.h"
#include "driver/command.h"
#include "driver/task.h"

#define COMMAND_CEILING_BYTES 131071 /* what "sh -c" takes as one argument */

/* One word for a POSIX shell: 'it'\''s'. */
static int append_quoted(struct buffer *command, const char *word)
{
    if (buffer_append_text(command, "'") < 0) {
        return -1;
    }
    for (const char *at = word; *at != '\0'; at++) {
        int result =
            *at == '\'' ? buffer_append_text(command, "'\\''") : buffer_append(command, at, 1);
        if (result < 0) {
            return -1;
        }
    }
    return buffer_append_text(command, "'");
}

/* One word is shell text, as in "sh -c"; several are a program and its arguments. */
static int join_words(struct buffer *command, int argc, char *const argv[], struct error *err)
{
    int result = argc == 1 ? buffer_append_text(command, argv[0]) : 0;
    for (int i = 0; argc > 1 && i < argc && result == 0; i++) {
        if (i > 0) {
            result = buffer_append_text(command, " ");
        }
        result = result == 0 ? append_quoted(command, argv[i]) : -1;
    }
    return result == 0 ? 0
                       : error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                                   COMMAND_CEILING_BYTES);
}

/* Where the backend says that commands run. */
static int enter_directory(struct buffer *line, const struct task *task)
{
    const cJSON *directory =
        cJSON_GetObjectItemCaseSensitive(task->at_backend.metadata->state, BACKEND_WORKDIR);
    if (!cJSON_IsString(directory)) {
        return 0;
    }
    if (buffer_append_text(line, "cd -- ") < 0 || append_quoted(line, directory->valuestring) < 0) {
        return -1;
    }
    return buffer_append_text(line, " || exit 126\n");
}

static void choose_job_name(char out[METADATA_JOB_BYTES])
{
    unsigned char random[8];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(out, METADATA_JOB_BYTES, "exec-%s", hex);
}

static struct result result_from_outcome(const struct ssh_outcome *outcome)
{
    if (outcome->cancelled) {
        return (struct result){.kind = RESULT_CANCELLED};
    }
    return outcome->signal[0] != '\0' ? result_from_signal(outcome->signal)
                                      : result_from_status(outcome->status);
}

static int run_and_stop(struct task *task, struct ssh_link *link, const char *command,
                        struct ssh_outcome *out_outcome, struct error *err)
{
    struct ssh_request request;
    struct buffer line;
    buffer_init(&line, COMMAND_CEILING_BYTES);
    task_request(task, &request);
    request.input_fd = STDIN_FILENO;
    int result = -1;
    if (enter_directory(&line, task) < 0 || buffer_append_text(&line, command) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                        COMMAND_CEILING_BYTES);
    } else {
        request.command = line.bytes;
        result = ssh_link_run(link, &request, out_outcome, err);
    }
    buffer_done(&line);
    struct error stopping;
    if (task_stop(task, result == 0 ? err : &stopping) < 0) {
        if (result < 0) {
            log_error("%s", stopping.message);
        }
        result = -1;
    }
    return result;
}

int command_exec(struct command_context *context, struct result *out_result, struct error *err)
{
    if (context->argc == 0) {
        return error_set(err, ERROR_USAGE, 0, "'exec' needs a command; try 'exec -- uname -a'");
    }
    char job[METADATA_JOB_BYTES];
    struct buffer command;
    buffer_init(&command, COMMAND_CEILING_BYTES);
    choose_job_name(job);
    struct task task = {
        .at_backend = {.config = context->config, .signals = context->signals, .tied = true},
    };
    struct ssh_link *link = NULL;
    struct ssh_outcome outcome = {0};
    task.backend = backend_choose(context->config, err);
    int result = task.backend == NULL ? -1 : task.backend->check(context->config, err);
    if (result == 0) {
        result = join_words(&command, context->argc, context->argv, err);
    }
    if (result == 0) {
        result = task_launch(&task, job, &link, err);
    }
    if (result == 0) {
        log_info("task %s running after %.2f s", task.name, (double)task.ready_after_ms / 1000);
        result = run_and_stop(&task, link, command.bytes, &outcome, err);
    }
    if (result == 0) {
        *out_result = result_from_outcome(&outcome);
    }
    ssh_link_free(link);
    task_done(&task);
    buffer_done(&command);
    return result;
}
