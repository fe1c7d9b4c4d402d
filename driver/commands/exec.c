/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "driver/commands/command.h"
#include "driver/record/metadata_directory.h"
#include "driver/remote/exec.h"
#include "driver/remote/shell_quote.h"
#include "driver/runner/git_hint.h"
#include "driver/task/launch.h"
#include "driver/task/resumable_job.h"

/* Device number of /dev/null on Linux. */
#define NULL_MAJOR 1
#define NULL_MINOR 3

/* The command in two forms, and the sign by which it reports that it began. */
struct command {
    struct begin_sign sign;
    struct buffer words; /* for an agent that runs it without the user's login shell */
    struct buffer login; /* for a login shell */
};

/* The directory in which the backend runs commands; empty: the user's home directory. */
static const char *directory_of(const struct task *task)
{
    const cJSON *directory =
        cJSON_GetObjectItemCaseSensitive(task->backend_task.metadata->state, BACKEND_WORKDIR);
    return cJSON_IsString(directory) ? directory->valuestring : "";
}

/* Appends the terminating NUL as well. */
static int append_word(struct buffer *words, const char *word)
{
    return buffer_append(words, word, strlen(word) + 1);
}

/* The sign comes before the directory: a command whose directory does not exist has begun, and
 * exits with 126. */
static int write_beginning(struct command *command, const char *directory, struct buffer *text)
{
    if (begin_sign_append(&command->sign, BEGIN_SIGN_BEGUN, text) < 0 ||
        buffer_append_text(text, "\n") < 0) {
        return -1;
    }
    if (directory[0] == '\0') {
        return 0;
    }
    return buffer_append_text(text, "cd -- ") < 0 || shell_quote_word(text, directory) < 0
               ? -1
               : buffer_append_text(text, " || exit 126\n");
}

/* One word is a shell command, which prints the sign; several are a program and its arguments. */
static int write_words(struct command *command, const char *directory, int argc, char *const argv[])
{
    struct buffer *words = &command->words;
    int result = append_word(words, argc == 1 ? "" : directory);
    if (result == 0 && argc == 1) {
        result = write_beginning(command, directory, words);
    }
    for (int i = 0; i < argc && result == 0; i++) {
        result = append_word(words, argv[i]);
    }
    return result;
}

static int write_login(struct command *command, const char *directory, int argc, char *const argv[],
                       struct error *err)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, SHELL_QUOTE_CEILING_BYTES);
    int result = write_beginning(command, directory, &text);
    if (result == 0) {
        result = shell_quote_join(&text, argc, argv, err);
    }
    return result == 0 ? shell_quote_for_login(&command->login, text.bytes, false) : -1;
}

static int write_command(struct command *command, const struct task *task, int argc,
                         char *const argv[], struct error *err)
{
    const char *directory = directory_of(task);
    begin_sign_init(&command->sign, BEGIN_SIGN_BEGUN);
    return write_words(command, directory, argc, argv) < 0 ||
                   write_login(command, directory, argc, argv, err) < 0
               ? error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                           SHELL_QUOTE_CEILING_BYTES)
               : 0;
}

static void choose_job_name(char out[METADATA_JOB_BYTES])
{
    unsigned char random[8];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(out, METADATA_JOB_BYTES, "exec-%s", hex);
}

/* /dev/null never delivers input, so the job needs no input stream and can be resumable. */
static bool is_empty_input(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ||
           (S_ISCHR(status.st_mode) && status.st_rdev == makedev(NULL_MAJOR, NULL_MINOR));
}

static int run_in(struct task *task, struct ssh_connection **connection, int argc,
                  char *const argv[], struct job_outcome *out_outcome, struct error *err)
{
    struct ssh_request request;
    struct command command;
    buffer_init(&command.words, JOBWIRE_COMMAND_BYTES);
    buffer_init(&command.login, SHELL_QUOTE_LOGIN_BYTES);
    task_request(task, &request);
    int result = write_command(&command, task, argc, argv, err);
    request.command = command.login.bytes;
    request.words = command.words.bytes;
    request.words_length = command.words.length;
    request.direct = argc > 1;
    request.sign = &command.sign;
    bool empty = is_empty_input(STDIN_FILENO);
    if (result == 0 && empty) {
        result = resumable_job_run(task, connection, &request, out_outcome, err);
        request.words = result == 1 ? NULL : request.words; /* the task has no such agent */
    } else {
        request.input_fd = STDIN_FILENO;
    }
    if (result == 1 || (result == 0 && !empty)) {
        result = ssh_exec_in_terminal(*connection, &request, out_outcome, err);
        result = result < 0 ? task_explain(task, true, err) : result;
    }
    buffer_done(&command.words);
    buffer_done(&command.login);
    return result == 0 ? result_check_begun(out_outcome, "", err) : result;
}

/* Whether 'ps', 'gc' and 'ssh' can find this task, which needs a metadata directory. Without one
 * the command still runs. No directory is created below another user's, who could then not use it.
 */
static bool may_record(const struct config *config)
{
    const char *directory = config->metadata_directory;
    struct error why = {0};
    cleanup_fd int fd = -1;
    int found = metadata_directory_open(directory, &fd, &why);
    if (found == 0 && metadata_directory_may_make(directory)) {
        found = metadata_directory_make(directory, &fd, &why) == 0 ? 1 : -1;
    }
    if (found != 1) {
        char text[ERROR_TEXT_BYTES];
        log_info("'ps', 'gc' and 'ssh' will not find this task: %s",
                 found < 0 ? error_text(&why, text)
                           : "its metadata would be below another user's directory");
    }
    return found == 1;
}

static int run_and_stop(struct task *task, struct ssh_connection **connection, int argc,
                        char *const argv[], struct job_outcome *out_outcome, struct error *err)
{
    int result = run_in(task, connection, argc, argv, out_outcome, err);
    struct error stopping;
    if (task_stop(task, result == 0 ? err : &stopping) < 0) {
        if (result < 0) {
            char text[ERROR_TEXT_BYTES];
            log_error("%s", error_text(&stopping, text));
        }
        result = -1;
    }
    return result;
}

/* Once the task has ended, below the command's own message. The first word is a program, or a
 * command of the shell. */
static void log_git_hint(const struct job_outcome *outcome, const char *first_word)
{
    const char *hint =
        outcome->signal[0] != '\0' || outcome->cancelled
            ? NULL
            : git_hint(GIT_HINT_EXEC, outcome->status, first_word, strlen(first_word));
    if (hint != NULL) {
        log_info("%s", hint);
    }
}

int command_exec(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[METADATA_JOB_BYTES];
    struct buffer command;
    buffer_init(&command, SHELL_QUOTE_CEILING_BYTES);
    choose_job_name(job);
    struct task task = {
        .backend_task = {.config = context->config,
                         .signals = context->signals,
                         .die_with_parent = true},
    };
    struct ssh_connection *connection = NULL;
    struct job_outcome outcome = {0};
    task.backend = backend_choose(context->config, err);
    int result = task.backend == NULL ? -1 : task.backend->check(context->config, err);
    if (result == 0) { /* before a task is started on the wrong backend */
        log_info("backend '%s', %s%s", task.backend->name,
                 context->config->path == NULL ? "no configuration file" : "settings of ",
                 context->config->path == NULL ? "" : context->config->path);
    }
    if (result == 0) { /* refuse a command that is too long before a task is started */
        result = shell_quote_join(&command, context->argc, context->argv, err);
    }
    if (result == 0) {
        task.has_metadata = may_record(context->config);
        origin_of_exec(context->config, &task.origin);
        result = task_launch(&task, job, &connection, err);
    }
    if (result == 0) {
        log_info("task %s running after %.2f s", task.name, (double)task.ready_after_ms / 1000);
        result = run_and_stop(&task, &connection, context->argc, context->argv, &outcome, err);
    }
    if (result == 0) {
        log_git_hint(&outcome, context->argv[0]);
        *out_result = result_from_outcome(&outcome);
    }
    ssh_connection_free(connection);
    task_done(&task);
    buffer_done(&command);
    return result;
}
