/* SPDX-License-Identifier: MIT */
/* berth-driver: what GitLab Runner's custom executor calls for every stage of a job. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "driver/cli.h"
#include "driver/keys.h"

/* A mistake on the command line outside a runner, as shells and coreutils do it. */
#define USAGE_EXIT_CODE 2

struct program {
    struct cli cli;
    struct runner runner;
    struct config config;
    struct signals signals;
};

/* Exits with the status of what it ran, and has nothing to do with a runner. */
static bool is_exec(const struct program *program)
{
    const struct cli_command *command = program->cli.command;
    return command != NULL && (command->run == command_exec || command->run == command_ssh);
}

static int exit_code(const struct program *program, struct result result)
{
    return is_exec(program) ? result_exec_exit_code(result, program->signals.first)
                            : result_exit_code(result, &program->runner);
}

/* Says what went wrong and returns the exit code for it. */
static int fail(const struct program *program, const struct error *err)
{
    log_error("%s", err->message);
    struct result result = result_from_error(err);
    if (err->errnum == EINTR && program->signals.first != 0) {
        result.kind = RESULT_CANCELLED;
    }
    bool by_hand = program->runner.codes_missing && program->cli.command == NULL;
    return by_hand ? USAGE_EXIT_CODE : exit_code(program, result);
}

/* A task must not stay because a log cannot be written: cleanup goes on without the file. */
static int open_log(const struct config *config, bool needed, struct error *err)
{
    int fd = STDERR_FILENO;
    int result = 0;
    if (config->log_file != NULL) {
        fd = open(config->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0) {
            result =
                error_set(err, ERROR_USAGE, errno, "cannot open LogFile '%s'", config->log_file);
            fd = STDERR_FILENO;
        }
    }
    log_open("berth-driver", config->log_level, config->log_format, fd);
    if (result < 0 && !needed) {
        log_warn("%s, logging to stderr", err->message);
        return 0;
    }
    return result;
}

/* Without a job the command says so itself, and one message is enough. */
static void warn_of_missing_codes(const struct program *program)
{
    bool has_job = program->runner.response_file != NULL || runner_variable("CI_JOB_ID") != NULL;
    if (program->runner.codes_missing && has_job && !is_exec(program)) {
        log_warn("BUILD_FAILURE_EXIT_CODE and SYSTEM_FAILURE_EXIT_CODE are not both set, using %d "
                 "and %d; GitLab Runner sets them when it starts this command",
                 program->runner.build_failure_code, program->runner.system_failure_code);
    }
}

static int run_command(struct program *program, struct result *out_result, struct error *err)
{
    const struct cli *cli = &program->cli;
    struct command_context context = {
        .config = &program->config,
        .runner = &program->runner,
        .signals = &program->signals,
        .stop = cli->stop,
        .policy = cli->policy,
        .force = cli->force,
        .argc = cli->argc,
        .argv = cli->argv,
    };
    if (config_load(&program->config, &cli->options, err) < 0 ||
        open_log(&program->config, cli->command->run != stage_cleanup, err) < 0) {
        return -1;
    }
    config_log_warnings();
    warn_of_missing_codes(program);
    return cli->command->run(&context, out_result, err);
}

/* The help of whatever was said, or the versions. */
static int print_text(const struct cli *cli, struct error *err)
{
    if (cli->help) {
        cli_print_help(cli);
    } else {
        cli_print_version();
    }
    return fflush(stdout) == 0 ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot write to stdout");
}

/* The job's variables and keys are in here and in the environment: no core file of it, and no other
 * process of this user, a job of the backend 'local' least of all, reads them. A program that is
 * executed later is as any other. The leak checker traces its own process, which this refuses. */
static void protect_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int start(struct program *program, int argc, char **argv, struct error *err)
{
    int environment = runner_read(&program->runner, err);
    struct error second;
    int parsed = cli_parse(&program->cli, argc, argv, environment < 0 ? &second : err);
    if (environment < 0 || parsed < 0) {
        return -1;
    }
    if (fd_open_standard() < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open /dev/null");
    }
    return keys_init(err) < 0 ? -1 : signals_open(&program->signals, err);
}

int main(int argc, char **argv)
{
    struct program program = {.signals = {.fd = -1}};
    struct error err = {0};
    struct result result = {.kind = RESULT_SUCCESS};
    protect_memory();
    log_open("berth-driver", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    int done = start(&program, argc, argv, &err);
    if (done == 0) {
        bool text = program.cli.help || program.cli.version;
        done = text ? print_text(&program.cli, &err) : run_command(&program, &result, &err);
    }
    int code = done < 0 ? fail(&program, &err) : exit_code(&program, result);
    config_done(&program.config);
    signals_done(&program.signals);
    return code;
}
