/* SPDX-License-Identifier: MIT */
/* berth-driver: GitLab Runner's custom executor calls it for every stage of a job. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/base/program.h"
#include "driver/cli.h"
#include "driver/commands/job_history.h"
#include "driver/record/keys.h"
#include "driver/runner/notice.h"

/* Outside the stages of a job; cli_help.c lists all exit codes. */
enum { EXIT_ORDINARY_FAILURE = 1, EXIT_WRONG_COMMAND_LINE = 2, EXIT_STOPPED_BY_SIGNAL = 128 };
#define FIELD_COUNT 7
/* A runner that is busy for a moment loses no line; one that no longer reads does not hold up the
 * end of a stage. Longer than the agent's, which must answer meanwhile. */
#define LOG_WAIT_MS 2000

struct program {
    struct cli cli;
    struct runner runner;
    struct config config;
    struct signals signals;
    struct command_context context;
    int64_t started_ms;
    bool wrong_command_line;
    bool failed; /* with an error; otherwise the result is the command's answer */
};

/* The commands that exit with the status of what they ran. */
static bool has_status_of_job(const struct program *program)
{
    const struct cli_command *command = program->cli.command;
    return command != NULL && command->exit == CLI_EXIT_OF_JOB;
}

/* With the build failure code, GitLab would report 'script_failure' for a job that was cancelled or
 * timed out before its first script. */
static bool stopped_before_the_job(const struct program *program)
{
    const struct cli_command *command = program->cli.command;
    return program->signals.first != 0 && command != NULL && command->before_the_job;
}

/* The stages of a job, and command lines of a runner that name no command. */
static bool is_stage(const struct program *program)
{
    const struct cli_command *command = program->cli.command;
    return command != NULL ? command->group != NULL : !program->runner.codes_missing;
}

/* 'doctor' and the commands that only print and change things. */
static int ordinary_exit_code(const struct program *program, struct result result)
{
    bool is_doctor = program->cli.command != NULL && program->cli.command->exit == CLI_EXIT_DOCTOR;
    switch (result.kind) {
    case RESULT_SUCCESS:
        return 0;
    case RESULT_CANCELLED:
        return EXIT_STOPPED_BY_SIGNAL + program->signals.first;
    case RESULT_SYSTEM:
        return is_doctor && program->failed ? RESULT_EXEC_OWN_FAILURE : EXIT_ORDINARY_FAILURE;
    case RESULT_SCRIPT:
    case RESULT_BUILD:
        break;
    }
    return EXIT_ORDINARY_FAILURE;
}

static int exit_code(const struct program *program, struct result result)
{
    if (program->wrong_command_line && (program->runner.codes_missing || !is_stage(program))) {
        return EXIT_WRONG_COMMAND_LINE;
    }
    if (is_stage(program)) {
        return result_exit_code(result, &program->runner);
    }
    return has_status_of_job(program) ? result_exec_exit_code(result, program->signals.first)
                                      : ordinary_exit_code(program, result);
}

/* Ctrl-C needs no explanation. */
static bool is_plain_interrupt(const struct program *program, const struct result *result)
{
    return result->kind == RESULT_CANCELLED && program->signals.first == SIGINT &&
           !is_stage(program);
}

static const char *stage_name(const struct command_context *context,
                              const struct cli_command *command)
{
    return command->names_stage && context->argc > 1 ? context->argv[1] : command->name;
}

/* The runner reports that the job was cancelled or timed out: where its signal arrived is no error
 * of Berth. An interrupted 'cleanup' is one: it may leave a task. */
static bool is_cancelled_stage(const struct program *program, const struct result *result)
{
    return result->kind == RESULT_CANCELLED && is_stage(program) && !program->cli.command->must_end;
}

static struct result fail(struct program *program, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    struct result result = result_from_error(err);
    program->failed = true;
    program->wrong_command_line = program->wrong_command_line || err->kind == ERROR_OPTION;
    if (err->errnum == EINTR && program->signals.first != 0) {
        result.kind = RESULT_CANCELLED;
    }
    if (is_plain_interrupt(program, &result)) {
        log_info("interrupted");
    } else if (is_cancelled_stage(program, &result)) {
        log_debug("%s", err->message);
        log_warn("stage '%s' was stopped on request",
                 stage_name(&program->context, program->cli.command));
    } else {
        log_error("%s", error_text(err, text));
    }
    return result;
}

/* Whether 'fd' is the same file as stderr, where each line would appear twice. */
static bool is_stderr(int fd)
{
    struct stat file;
    struct stat standard;
    return fstat(fd, &file) == 0 && fstat(STDERR_FILENO, &standard) == 0 &&
           file.st_dev == standard.st_dev && file.st_ino == standard.st_ino;
}

/* stderr is the job's log. With LogFile, level and format are the file's, and stderr still gets
 * errors and progress. 'cleanup' continues without the file: a log that cannot be written must not
 * leave a task running. Nor does anything wait for the reader of a FIFO. */
static int open_log(const char *program, const struct config *config, bool needed,
                    struct error *err)
{
    enum log_level level = config->log_level < LOG_ERROR ? LOG_ERROR : config->log_level;
    log_open(program, level, config->log_format, STDERR_FILENO);
    if (config->log_file == NULL) {
        return 0;
    }
    int fd = open(config->log_file,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0) {
        (void)error_set(err, ERROR_USAGE, errno, "cannot open LogFile '%s'", config->log_file);
        if (!needed) {
            log_warn("%s, logging to stderr", err->message);
            return 0;
        }
        return -1;
    }
    if (is_stderr(fd)) {
        (void)close(fd);
        return 0;
    }
    log_open(program, LOG_INFO, LOG_TEXT, STDERR_FILENO);
    log_add_file(config->log_level, config->log_format, fd);
    return 0;
}

/* The number in "job-4711-HASH". Unlike CI_JOB_ID, no job variable can change it. */
static double job_number(const char *key)
{
    return strtod(key + strlen("job-"), NULL);
}

/* The log file's line about a stage: at its end, and when 'prepare' begins, which may take long. */
static void log_stage(struct program *program, const char *message, const char *status,
                      const struct result *result)
{
    char key[RUNNER_JOB_KEY_BYTES];
    struct error none;
    struct log_field fields[FIELD_COUNT];
    size_t count = 0;
    const struct command_context *context = &program->context;
    const struct cli_command *command = program->cli.command;
    const char *project = runner_variable("CI_PROJECT_PATH");
    if (command == NULL || command->group == NULL ||
        runner_job_key(&program->runner, key, &none) < 0) {
        return;
    }
    fields[count++] = (struct log_field){"job", NULL, job_number(key)};
    fields[count++] = (struct log_field){"project", project == NULL ? "" : project, 0};
    fields[count++] = (struct log_field){"task", context->task, 0};
    fields[count++] = (struct log_field){"stage", stage_name(context, command), 0};
    fields[count++] = (struct log_field){"status", status, 0};
    if (result->kind == RESULT_SCRIPT) {
        fields[count++] = (struct log_field){"exit_code", NULL, result->status};
    }
    double seconds = (double)(clock_now_ms() - program->started_ms) / 1000;
    fields[count++] = (struct log_field){"seconds", NULL, seconds};
    log_event(message, fields, count);
}

static const char *status_of(const struct program *program, const struct result *result)
{
    static const char *const words[] = {
        [RESULT_SUCCESS] = "success",       [RESULT_SCRIPT] = "script_failure",
        [RESULT_CANCELLED] = "stopped",     [RESULT_BUILD] = "build_failure",
        [RESULT_SYSTEM] = "system_failure",
    };
    bool stopped = result->kind != RESULT_SUCCESS && program->signals.first != 0;
    return stopped ? words[RESULT_CANCELLED] : words[result->kind];
}

/* Only inside a job: otherwise the command reports that there is none. */
static void warn_of_missing_codes(const struct program *program)
{
    bool has_job = program->runner.response_file != NULL || runner_variable("CI_JOB_ID") != NULL;
    if (program->runner.codes_missing && has_job && !has_status_of_job(program)) {
        log_warn("BUILD_FAILURE_EXIT_CODE and SYSTEM_FAILURE_EXIT_CODE are not both set, using %d "
                 "and %d; GitLab Runner sets them when it starts this command",
                 program->runner.build_failure_code, program->runner.system_failure_code);
    }
}

/* Written by the handler below, which may not format. */
static char end_text[32];

static void on_signal_of_reader(int number)
{
    (void)!write(STDERR_FILENO, end_text, strlen(end_text));
    _exit(EXIT_STOPPED_BY_SIGNAL + number);
}

/* A command that only reads has nothing to clean up: a signal ends it wherever it waits. */
static void end_at_signals(const struct program *program)
{
    const struct cli *cli = &program->cli;
    struct sigaction action = {.sa_handler = on_signal_of_reader};
    if (cli->command->only_reads && !cli->own.stop && !cli->own.task_definitions) {
        (void)snprintf(end_text, sizeof(end_text), "%s: interrupted\n", program_name());
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        signals_unblock(SIGINT);
        signals_unblock(SIGTERM);
    }
}

static int run_command(struct program *program, struct result *out_result, struct error *err)
{
    struct cli *cli = &program->cli;
    program->context = (struct command_context){
        .config = &program->config,
        .runner = &program->runner,
        .signals = &program->signals,
        .options = &cli->own,
        .argc = cli->argc,
        .argv = cli->argv,
    };
    const struct cli_command *command = cli->command;
    if (command->without_file) { /* can fail only for its words */
        program->wrong_command_line = command->run(&program->context, out_result, err) < 0;
        return program->wrong_command_line ? -1 : 0;
    }
    cli->options.is_exec = command->is_exec;
    cli->options.only_a_named_file = command->only_a_named_file;
    if (config_load(&program->config, &cli->options, err) < 0 ||
        open_log(program_name(), &program->config, !command->must_end, err) < 0) {
        bool is_finding =
            command->reports_configuration && !cli->own.policy && err->kind != ERROR_OPTION;
        return is_finding ? doctor_report_unusable(&program->context, err, out_result) : -1;
    }
    if (!command->reports_configuration) {
        config_log_warnings(&program->config);
    }
    warn_of_missing_codes(program);
    end_at_signals(program);
    const struct backend *backend = backend_choose(&program->config, NULL);
    if (backend != NULL && cli_check_backend(cli, backend->name, err) < 0) {
        program->wrong_command_line = true;
        return -1;
    }
    if (command->takes_long) {
        log_stage(program, "stage begins", "running", out_result);
    }
    if (command->group != NULL) {
        job_history_begin(&program->context, stage_name(&program->context, command));
    }
    return command->run(&program->context, out_result, err);
}

/* For the job's line of the history. Without a configuration there is none. */
static void record_stage(const struct program *program, const char *status,
                         const struct result *result, const char *reason)
{
    const struct cli_command *command = program->cli.command;
    if (command == NULL || command->group == NULL || program->context.config == NULL) {
        return;
    }
    struct history_stage stage = {
        .name = stage_name(&program->context, command),
        .status = status,
        .exit_code = result->kind == RESULT_SCRIPT ? result->status : 0,
        .seconds = (double)(clock_now_ms() - program->started_ms) / 1000,
        .stopped_at_s = program->signals.first_at_s,
        .reason = reason,
    };
    job_history_end(&program->context, &stage);
}

/* Help or versions. */
static int print_text(const struct cli *cli, struct error *err)
{
    if (cli->help) {
        cli_print_help(cli);
    } else {
        cli_print_version();
    }
    return fflush(stdout) == 0 ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot write to stdout");
}

/* The job's variables and keys are in memory and in the environment: no core file, and no access
 * for other processes of this user, such as jobs of the backend 'local'. Programs that this process
 * executes are not affected. Not with the leak checker, which must trace its own process. */
static void protect_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* 'custom' alone prints the help, as with the Fargate driver, but GitLab Runner would take its
 * status for that of a stage. */
static int check_stage(const struct program *program, struct error *err)
{
    if (program->cli.in_group && program->cli.command == NULL && !program->cli.version &&
        !program->runner.codes_missing) {
        (void)error_set(err, ERROR_USAGE, 0, "'custom' needs a stage");
        return error_hint(err, "add config, prepare, run or cleanup to the stage's _args in "
                               "config.toml");
    }
    return 0;
}

static int start(struct program *program, int argc, char **argv, struct error *err)
{
    int environment = runner_read(&program->runner, err);
    struct error second;
    int parsed = cli_parse(&program->cli, argc, argv, environment < 0 ? &second : err);
    parsed = parsed == 0 && environment == 0 ? check_stage(program, err) : parsed;
    program->wrong_command_line = environment == 0 && parsed < 0;
    if (is_stage(program)) {
        log_prefix(NOTICE_PREFIX); /* stderr is the job's log */
    }
    if (environment < 0 || parsed < 0) {
        return -1;
    }
    if (fd_open_standard() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open /dev/null");
    }
    return keys_init(err) < 0 ? -1 : signals_open(&program->signals, err);
}

/* Without the libraries' own cleanup, which takes a tenth of a stage to free what the kernel frees
 * anyway. The leak checker needs it. */
__attribute__((noreturn)) static void leave(int code)
{
#ifndef __SANITIZE_ADDRESS__
    (void)fflush(NULL);
    _exit(code);
#else
    exit(code);
#endif
}

int main(int argc, char **argv)
{
    struct program program = {.signals = {.fd = -1}, .started_ms = clock_now_ms()};
    struct error err = {0};
    struct result result = {.kind = RESULT_SUCCESS};
    signals_block();
    protect_memory();
    program_set_name(argc > 0 ? argv[0] : NULL);
    log_open(program_name(), LOG_INFO, LOG_TEXT, STDERR_FILENO);
    log_wait_at_most(LOG_WAIT_MS);
    log_prefix(program_name());
    log_colour(log_wants_colour(STDERR_FILENO));
    int done = start(&program, argc, argv, &err);
    if (done == 0) {
        bool text = program.cli.help || program.cli.version;
        done = text ? print_text(&program.cli, &err) : run_command(&program, &result, &err);
    }
    if (done < 0) {
        result = fail(&program, &err);
    }
    const char *reason = done < 0 && result.kind != RESULT_CANCELLED ? err.message : NULL;
    (void)signals_pending(
        &program.signals); /* a signal that arrived while nothing waited counts as well */
    const char *status = status_of(&program, &result);
    if (result.kind != RESULT_SUCCESS && stopped_before_the_job(&program)) {
        result.kind = RESULT_SYSTEM;
    }
    log_stage(&program, "stage ended", status, &result);
    record_stage(&program, status, &result, reason);
    int code = exit_code(&program, result);
    config_done(&program.config);
    signals_done(&program.signals);
    leave(code);
}
