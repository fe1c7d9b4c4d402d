/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/log.h"
#include "driver/command.h"
#include "driver/durable.h"
#include "driver/shell_words.h"
#include "driver/ssh_terminal.h"
#include "driver/task.h"

/* Of /dev/null, in every Linux. */
#define NULL_MAJOR 1
#define NULL_MINOR 3

/* Where the backend says that commands run. */
static int enter_directory(struct buffer *line, const struct task *task)
{
    const cJSON *directory =
        cJSON_GetObjectItemCaseSensitive(task->at_backend.metadata->state, BACKEND_WORKDIR);
    if (!cJSON_IsString(directory)) {
        return 0;
    }
    if (buffer_append_text(line, "cd -- ") < 0 ||
        shell_words_quote(line, directory->valuestring) < 0) {
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

/* Nothing will ever come from there, so the job needs no stream from us and can be durable. */
static bool is_empty_input(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ||
           (S_ISCHR(status.st_mode) && status.st_rdev == makedev(NULL_MAJOR, NULL_MINOR));
}

static int run_in(struct task *task, struct ssh_link **link, const char *command,
                  struct ssh_outcome *out_outcome, struct error *err)
{
    struct ssh_request request;
    struct buffer line;
    buffer_init(&line, SHELL_WORDS_CEILING_BYTES);
    task_request(task, &request);
    if (enter_directory(&line, task) < 0 || buffer_append_text(&line, command) < 0) {
        buffer_done(&line);
        return error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                         SHELL_WORDS_CEILING_BYTES);
    }
    request.command = line.bytes;
    int result = 1;
    if (is_empty_input(STDIN_FILENO)) {
        result = durable_run(task, link, &request, out_outcome, err);
    } else {
        request.input_fd = STDIN_FILENO;
    }
    if (result == 1) {
        result = ssh_run_in_terminal(*link, &request, out_outcome, err);
    }
    buffer_done(&line);
    return result;
}

static int run_and_stop(struct task *task, struct ssh_link **link, const char *command,
                        struct ssh_outcome *out_outcome, struct error *err)
{
    int result = run_in(task, link, command, out_outcome, err);
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
    buffer_init(&command, SHELL_WORDS_CEILING_BYTES);
    choose_job_name(job);
    struct task task = {
        .at_backend = {.config = context->config, .signals = context->signals, .tied = true},
    };
    struct ssh_link *link = NULL;
    struct ssh_outcome outcome = {0};
    task.backend = backend_choose(context->config, err);
    int result = task.backend == NULL ? -1 : task.backend->check(context->config, err);
    if (result == 0) {
        result = shell_words_join(&command, context->argc, context->argv, err);
    }
    if (result == 0) {
        result = task_launch(&task, job, &link, err);
    }
    if (result == 0) {
        log_info("task %s running after %.2f s", task.name, (double)task.ready_after_ms / 1000);
        result = run_and_stop(&task, &link, command.bytes, &outcome, err);
    }
    if (result == 0) {
        *out_result = result_from_outcome(&outcome);
    }
    ssh_link_free(link);
    task_done(&task);
    buffer_done(&command);
    return result;
}
