/* SPDX-License-Identifier: MIT */
#include "driver/cli.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/nearest.h"
#include "driver/base/program.h"
#include "driver/cli_table.h"

#define COMMON_OPTIONS " config backend log-level debug log-format log-file help version "
#define TASK_OPTIONS   " image volume env user task-def platform-version "

#define ANY_COUNT     INT_MAX
#define CONFIG_OPTION "--config /etc/gitlab-runner/fargate.toml "

const struct cli_command cli_commands[] = {
    {.group = "custom",
     .group_alias = "c",
     .name = "config",
     .alias = "co",
     .exit = CLI_EXIT_STAGE,
     .arguments = "",
     .help = "print the job's settings for GitLab Runner as JSON",
     .options = "",
     .examples = "berth-driver " CONFIG_OPTION "custom config\n",
     .before_the_job = true,
     .run = stage_config},
    {.group = "custom",
     .group_alias = "c",
     .name = "prepare",
     .alias = "p",
     .exit = CLI_EXIT_STAGE,
     .arguments = "",
     .help = "launch the job's task and wait until SSH answers",
     .options = TASK_OPTIONS,
     .examples = "berth-driver " CONFIG_OPTION "custom prepare\n",
     .before_the_job = true,
     .takes_long = true,
     .run = stage_prepare},
    {.group = "custom",
     .group_alias = "c",
     .name = "run",
     .alias = "r",
     .exit = CLI_EXIT_STAGE,
     .arguments = "SCRIPT STAGE",
     .help = "run a script of the job in its task",
     .options = "",
     .examples = "berth-driver --config fargate.toml custom run script.sh step_script\n",
     .arguments_ceiling = 2,
     .names_stage = true,
     .run = stage_run},
    {.group = "custom",
     .group_alias = "c",
     .name = "cleanup",
     .alias = "cl",
     .exit = CLI_EXIT_STAGE,
     .arguments = "",
     .help = "stop the job's task and remove its leftovers",
     .options = "",
     .examples = "berth-driver " CONFIG_OPTION "custom cleanup\n",
     .arguments_ceiling = ANY_COUNT, /* which it reports */
     .must_end = true,
     .run = stage_cleanup},
    {.name = "exec",
     .exit = CLI_EXIT_OF_JOB,
     .arguments = "[--] COMMAND...",
     .help = "launch a task, run a command in it, stop it, exit with the command's status",
     .options = TASK_OPTIONS " workdir no-mount ",
     .examples = "berth-driver exec -- 'echo $HOSTNAME; make test'\n"
                 "berth-driver exec --image node:16 -- npm test\n"
                 "berth-driver exec --backend ecs -- uname -a\n",
     .arguments_ceiling = ANY_COUNT,
     .needs = "a command",
     .needs_example = "exec -- uname -a",
     .is_exec = true,
     .run = command_exec},
    {.name = "ssh",
     .exit = CLI_EXIT_OF_JOB,
     .arguments = "JOB [-- COMMAND...]",
     .help = "open a shell, or run a command, in the task of a running job",
     .options = " container ",
     .examples = "berth-driver ssh 4711\n"
                 "berth-driver ssh --container helper 4711\n"
                 "berth-driver ssh 4711 -- ps aux\n",
     .arguments_ceiling = ANY_COUNT,
     .needs = "a job: GitLab's job id, the job's key or its task's name",
     .needs_example = "ps",
     .run = command_ssh},
    {.name = "ps",
     .arguments = "",
     .help = "list this runner's tasks: job, age, state, size, cost",
     .options = " watch quiet json ",
     .examples = "berth-driver ps\nberth-driver ps --watch\n",
     .only_reads = true,
     .run = command_ps},
    {.name = "gc",
     .arguments = "",
     .help = "list orphaned tasks of this runner, or stop them",
     .options = " stop task-definitions json ",
     .examples = "berth-driver gc\nberth-driver gc --stop\n"
                 "berth-driver gc --task-definitions\n",
     .only_reads = true,
     .run = command_gc},
    {.name = "warm",
     .arguments = "",
     .help = "bring the pool of warm tasks to the numbers that [[Warm]] asks for",
     .options = " watch drain if-due ",
     .examples = "berth-driver warm\nberth-driver warm --watch\nberth-driver warm --drain\n",
     .run = command_warm},
    {.name = "logs",
     .arguments = "JOB",
     .help = "print the agent's log of a running job's task",
     .options = "",
     .examples = "berth-driver logs 4711\n",
     .arguments_ceiling = 1,
     .needs = "a job, as 'ps' lists them",
     .needs_example = "ps",
     .only_reads = true,
     .run = command_logs},
    {.name = "history",
     .arguments = "[JOB]",
     .help = "list the jobs that have ended, or show one with its stages",
     .options = " since project failed json ",
     .examples = "berth-driver history --since 7d --failed\n"
                 "berth-driver history --project 'group/**' --json\n"
                 "berth-driver history 4711\n",
     .arguments_ceiling = 1,
     .only_reads = true,
     .run = command_history},
    {.name = "report",
     .arguments = "",
     .help = "write a page with costs, starts, failures and a timeline of jobs",
     .options = " since output ",
     .examples = "berth-driver report --since 30d -o report.html\n",
     .run = command_report},
    {.name = "metrics",
     .arguments = "",
     .help = "print counters of jobs for Prometheus",
     .options = " output ",
     .examples = "berth-driver metrics -o /var/lib/node_exporter/berth.prom\n",
     .run = command_metrics},
    {.name = "push-agent",
     .arguments = "[REPOSITORY]",
     .help = "push the image that places the agent in ECS tasks to ECR, without Docker",
     .options = " helper runner-version policy ",
     .examples = "berth-driver push-agent\n"
                 "berth-driver push-agent --helper\n"
                 "berth-driver push-agent --helper --runner-version 19.4.0 ci/berth\n"
                 "berth-driver push-agent --policy >policy.json\n",
     .arguments_ceiling = 1,
     .run = command_push_agent},
    {.name = "init",
     .arguments = "[FILE]",
     .help = "write a configuration interactively",
     .options = " force ",
     .examples = "berth-driver init\nberth-driver init --force ./fargate.toml\n",
     .arguments_ceiling = 1,
     .only_a_named_file = true,
     .run = command_init},
    {.name = "doctor",
     .exit = CLI_EXIT_DOCTOR,
     .arguments = "",
     .help = "check the configuration and report what is missing",
     .options = TASK_OPTIONS " policy json ",
     .examples = "berth-driver " CONFIG_OPTION "doctor\n"
                 "berth-driver doctor --policy >policy.json\n",
     .only_reads = true,
     .reports_configuration = true,
     .run = command_doctor},
    {.name = "completion",
     .arguments = "SHELL",
     .help = "print the completion script of bash, zsh or fish",
     .options = "",
     .examples = "berth-driver completion bash >/etc/bash_completion.d/berth-driver\n"
                 "berth-driver completion fish >~/.config/fish/completions/berth-driver.fish\n",
     .arguments_ceiling = 1,
     .needs = "a shell",
     .needs_example = "completion bash",
     .without_file = true,
     .run = cli_command_completion},
    {.name = "version",
     .arguments = "",
     .help = "print version, commit and libraries",
     .options = "",
     .examples = "berth-driver version\n",
     .without_file = true},
    {.name = "help",
     .arguments = "[COMMAND]",
     .help = "show this list, a command's help, or with 'config' the configuration keys",
     .options = "",
     .examples = "berth-driver help exec\nberth-driver help config\n",
     .without_file = true},
    {0},
};
#define COMMAND_COUNT (sizeof(cli_commands) / sizeof(cli_commands[0]) - 1)

#define FIELD(name) offsetof(struct cli, name)

const struct option_row cli_options[] = {
    {.help = "Options"},
    {"config", 0, OPTION_TEXT, "PATH", "BERTH_CONFIG", CONFIG_DEFAULT_PATH,
     "configuration file (TOML); 'help config' lists its keys", FIELD(options.path), 0, 0},
    {"backend", 0, OPTION_TEXT, "NAME", NULL, "the file's", "where tasks run: local, docker or ecs",
     FIELD(options.backend), 0, 0},
    {"image", 0, OPTION_TEXT, "NAME", NULL, NULL,
     "container image; overrides the file's and the job's, and 'exec' then uses the backend docker",
     FIELD(options.image), 0, 0},
    {"volume", 'v', OPTION_LIST, "FROM:TO[:ro]", NULL, NULL,
     "mount a directory or a named volume; repeatable", FIELD(options.volumes), 0, 0},
    {"env", 'e', OPTION_LIST, "NAME[=VALUE]", NULL, NULL,
     "variable of the container, by default with the value of this environment; repeatable",
     FIELD(options.environment), 0, 0},
    {"workdir", 'w', OPTION_TEXT, "DIRECTORY", NULL, "the current one, which is mounted",
     "directory in which 'exec' runs the command", FIELD(options.workdir), 0, 0},
    {"user", 'u', OPTION_TEXT, "NAME", NULL, "the image's", "user or UID:GID in the container",
     FIELD(options.user), 0, 0},
    {"no-mount", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with 'exec': do not mount the current directory", FIELD(options.no_mount), 0, 0},
    {"task-def", 0, OPTION_TEXT, "NAME", NULL, NULL, "ECS task definition; overrides the file's",
     FIELD(options.task_definition), 0, 0},
    {"platform-version", 0, OPTION_TEXT, "VERSION", NULL, "LATEST",
     "Fargate platform version; overrides the file's", FIELD(options.platform_version), 0, 0},
    {"log-level", 0, OPTION_TEXT, "LEVEL", NULL, "info", "debug, info, warn, error or fatal",
     FIELD(options.log_level), 0, 0},
    {"debug", 0, OPTION_FLAG, NULL, NULL, NULL, "the same as --log-level debug",
     FIELD(options.debug), 0, 0},
    {"log-format", 0, OPTION_TEXT, "FORMAT", NULL, "text", "text or json",
     FIELD(options.log_format), 0, 0},
    {"log-file", 0, OPTION_TEXT, "PATH", NULL, "stderr",
     "append log lines to this file; errors and progress reach stderr as well",
     FIELD(options.log_file), 0, 0},
    {"container", 0, OPTION_TEXT, "NAME", NULL, "job",
     "with 'ssh': the container of the task: job or helper", FIELD(own.container), 0, 0},
    {"stop", 0, OPTION_FLAG, NULL, NULL, NULL, "with 'gc': stop the orphaned tasks",
     FIELD(own.stop), 0, 0},
    {"task-definitions", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with 'gc': remove the task definitions that Berth generated longer than [Fargate] "
     "DefinitionAge ago, instead",
     FIELD(own.task_definitions), 0, 0},
    {"policy", 0, OPTION_FLAG, NULL, NULL, NULL,
     "print the minimal IAM policy of the runner ('doctor') or of 'push-agent', and exit",
     FIELD(own.policy), 0, 0},
    {"force", 0, OPTION_FLAG, NULL, NULL, NULL, "with 'init': replace an existing file",
     FIELD(own.force), 0, 0},
    {"since", 0, OPTION_DURATION, "DURATION", NULL, "all; report: 30d",
     "jobs that ended within this time, such as 12h or 30d", FIELD(own.since_ms), 0, 0},
    {"project", 0, OPTION_TEXT, "PATTERN", NULL, "all",
     "with 'history': jobs of these projects; * matches any text without /, ** any text",
     FIELD(own.project), 0, 0},
    {"failed", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with 'history': jobs that failed or were lost, not those that were canceled",
     FIELD(own.failed), 0, 0},
    {"output", 'o', OPTION_TEXT, "FILE", NULL, "stdout", "write to this file, replaced at once",
     FIELD(own.output), 0, 0},
    {"json", 0, OPTION_FLAG, NULL, NULL, NULL, "print one JSON object per line", FIELD(own.json), 0,
     0},
    {"watch", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with 'ps': print the list again and again; with 'warm': stay, and look every 10 s",
     FIELD(own.watch), 0, 0},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, "with 'ps': print the jobs' names alone",
     FIELD(own.quiet), 0, 0},
    {"drain", 0, OPTION_FLAG, NULL, NULL, NULL, "with 'warm': stop all tasks of the pool",
     FIELD(own.drain), 0, 0},
    /* The driver gives it to itself (warm/replace.c): 'warm' waits for a second, or exits if
     * another process is about to do the same. */
    {"if-due", 0, OPTION_FLAG, NULL, NULL, NULL, NULL, FIELD(own.if_due), 0, 0},
    {"helper", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with 'push-agent': also copy the helper's image, [Helper] Image or GitLab's",
     FIELD(own.helper), 0, 0},
    {"runner-version", 0, OPTION_TEXT, "N.N.N", NULL, "that of gitlab-runner",
     "with --helper: copy GitLab's image for this version of GitLab Runner",
     FIELD(own.runner_version), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this help and exit", FIELD(help), 0, 0},
    {"version", 'V', OPTION_FLAG, NULL, NULL, NULL, "print versions and exit", FIELD(version), 0,
     0},
    {0},
};
#define ROW_COUNT (OPTION_COUNT(cli_options) - 1)

/* Options of one backend only. */
static const struct {
    const char *option, *backend;
} backend_options[] = {
    {"image", "docker"},   {"volume", "docker"},        {"env", "docker"},
    {"workdir", "docker"}, {"user", "docker"},          {"no-mount", "docker"},
    {"task-def", "ecs"},   {"platform-version", "ecs"}, {"task-definitions", "ecs"},
};

static bool lists(const char *names, const char *name)
{
    char spaced[32];
    int length = snprintf(spaced, sizeof(spaced), " %s ", name);
    return length < (int)sizeof(spaced) && strstr(names, spaced) != NULL;
}

static bool same_word(const char *word, const char *name, const char *alias)
{
    return (name != NULL && strcmp(word, name) == 0) || (alias != NULL && strcmp(word, alias) == 0);
}

/* Commands of other programs for what people expect here. */
static const struct {
    const char *words, *command;
} habits[] = {
    {" run ", "exec"},         {" ls list status jobs tasks ", "ps"},
    {" shell attach ", "ssh"}, {" prune clean stop kill rm ", "gc"},
    {" check ", "doctor"},     {" config ", "help config"},
};

/* The command that a word may stand for; NULL: none. */
static const char *meant_command(const struct cli *cli, const char *word)
{
    struct nearest nearest = nearest_begin(word);
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]) && !cli->in_group; i++) {
        if (lists(habits[i].words, word)) {
            return habits[i].command;
        }
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct cli_command *row = &cli_commands[i];
        if (cli->in_group == (row->group != NULL)) {
            nearest_try(&nearest, row->name);
        } else if (row->group != NULL) {
            nearest_try(&nearest, row->group);
        }
    }
    return nearest.best;
}

static int unknown_command(const struct cli *cli, const char *word, struct error *err)
{
    const char *meant = meant_command(cli, word);
    (void)error_set(err, ERROR_USAGE, 0, "unknown command '%s%s'", cli->in_group ? "custom " : "",
                    word);
    for (size_t i = 0; i < COMMAND_COUNT && !cli->in_group; i++) {
        if (cli_commands[i].group != NULL && strcmp(cli_commands[i].name, word) == 0 &&
            meant == NULL) {
            return error_hint(err, "did you mean 'custom %s'? try --help", word);
        }
    }
    return meant == NULL ? error_hint(err, "try --help")
                         : error_hint(err, "did you mean '%s%s'? try --help",
                                      cli->in_group ? "custom " : "", meant);
}

/* The group, a command, or 'help' as with the Fargate driver. */
static int take_word(struct cli *cli, const char *word, struct error *err)
{
    if (same_word(word, "help", "h")) {
        cli->help = true;
        return 0;
    }
    if (cli->help && !cli->in_group && strcmp(word, "config") == 0) {
        cli->keys = true;
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct cli_command *row = &cli_commands[i];
        if (!cli->in_group && same_word(word, row->group, row->group_alias)) {
            cli->in_group = true;
            return 0;
        }
        if (cli->in_group == (row->group != NULL) && same_word(word, row->name, row->alias)) {
            cli->command = row;
            cli->version = cli->version || row->run == NULL; /* 'help' was found above */
            return 0;
        }
    }
    return unknown_command(cli, word, err);
}

bool cli_takes(const struct cli_command *command, const char *option)
{
    return command == NULL || lists(COMMON_OPTIONS, option) || lists(command->options, option);
}

static bool is_given(const struct cli *cli, const struct option_row *row)
{
    const void *field = (const char *)cli + row->offset;
    switch (row->type) {
    case OPTION_FLAG:
        return *(const bool *)field;
    case OPTION_TEXT:
        return *(const char *const *)field != NULL;
    case OPTION_DURATION:
        return *(const int64_t *)field != 0;
    case OPTION_LIST:
        return ((const struct option_list *)field)->count > 0;
    default:
        return false; /* no option has such a type */
    }
}

/* Options of one command that exclude each other; second NULL: the first is for lists, not for the
 * word that names one entry. */
static const struct {
    const char *first, *second;
} exclusive[] = {
    {"quiet", "json"},  {"policy", "json"},  {"stop", "task-definitions"},
    {"watch", "drain"}, {"watch", "if-due"}, {"failed", NULL},
    {"project", NULL},
};

static bool has_option(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &cli_options[i];
        if (row->name != NULL && strcmp(row->name, name) == 0) {
            return is_given(cli, row);
        }
    }
    return false;
}

static int check_exclusive(const struct cli *cli, struct error *err)
{
    for (size_t i = 0; i < sizeof(exclusive) / sizeof(exclusive[0]); i++) {
        const char *second = exclusive[i].second;
        if (has_option(cli, exclusive[i].first) &&
            (second != NULL ? has_option(cli, second) : cli->argc > 0)) {
            (void)error_set(err, ERROR_USAGE, 0,
                            second != NULL ? "--%s excludes --%s" : "--%s is not for one job%s",
                            exclusive[i].first, second != NULL ? second : "");
            return error_hint(err, "try --help");
        }
    }
    return 0;
}

/* An option without effect is an error. */
static int check_options(const struct cli *cli, struct error *err)
{
    const struct cli_command *command = cli->command;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &cli_options[i];
        if (row->name != NULL && is_given(cli, row) && !cli_takes(command, row->name)) {
            (void)error_set(err, ERROR_USAGE, 0, "--%s does not apply to '%s%s%s'", row->name,
                            command->group == NULL ? "" : command->group,
                            command->group == NULL ? "" : " ", command->name);
            return error_hint(err, "try --help");
        }
    }
    return 0;
}

int cli_check_backend(const struct cli *cli, const char *backend, struct error *err)
{
    for (size_t i = 0; i < sizeof(backend_options) / sizeof(backend_options[0]); i++) {
        for (size_t j = 0; j < ROW_COUNT; j++) {
            const struct option_row *row = &cli_options[j];
            if (row->name != NULL && strcmp(row->name, backend_options[i].option) == 0 &&
                is_given(cli, row) && strcmp(backend, backend_options[i].backend) != 0) {
                (void)error_set(err, ERROR_USAGE, 0, "--%s is for the backend '%s', not '%s'",
                                row->name, backend_options[i].backend, backend);
                return error_hint(err, "leave it out, or add --backend %s",
                                  backend_options[i].backend);
            }
        }
    }
    return 0;
}

/* Options of 'docker run' that people try with 'exec'. */
static const struct {
    const char *words, *hint;
} docker_options[] = {
    {" -i -t -it -ti --interactive --tty ", "'exec' has a terminal whenever it is started in one"},
    {" --rm -rm ", "'exec' always removes its task"},
    {" -p -P --publish --expose ",
     "'exec' publishes no ports; the task's network is the backend's"},
    {" -d --detach -detach ", "'exec' waits for the command; put it in the background with '&'"},
    {" --entrypoint -entrypoint ",
     "'exec' runs PROGRAM ARGUMENT... without the image's ENTRYPOINT"},
};

/* For an unknown option: a row that has it replaces the hint. */
static void hint_docker_option(const char *option, struct error *err)
{
    char word[24]; /* longer than any of them */
    (void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(option, "="), option);
    for (size_t i = 0; i < sizeof(docker_options) / sizeof(docker_options[0]); i++) {
        if (lists(docker_options[i].words, word)) {
            (void)error_hint(err, "%s", docker_options[i].hint);
        }
    }
}

static int unexpected(const char *word, struct error *err)
{
    (void)error_set(err, ERROR_USAGE, 0, "unexpected argument '%s'", word);
    return error_hint(err,
                      word[0] == '-' ? "options come before the words of a command" : "try --help");
}

int cli_parse(struct cli *cli, int argc, char *const argv[], struct error *err)
{
    struct option_row rows[ROW_COUNT];
    memcpy(rows, cli_options, sizeof(rows));
    *cli = (struct cli){.help = false};
    if (argc == 2 && strcmp(argv[1], "-v") == 0) { /* as with the Fargate driver */
        cli->version = true;
        return 0;
    }
    int position = 0;
    bool by_word = false; /* 'help' instead of --help, which takes one command */
    for (;;) {
        int next = 0;
        if (options_parse(rows, ROW_COUNT, cli, argc - position, argv + position, &next, err) < 0) {
            if (next > 0) {
                hint_docker_option(argv[position + next], err);
            }
            return -1;
        }
        for (size_t i = 0; i < ROW_COUNT; i++) {
            rows[i].environment = NULL; /* read it once: later it would win over options */
        }
        position += next;
        if (cli->command != NULL || cli->keys || position >= argc) {
            break;
        }
        bool help = cli->help;
        if (take_word(cli, argv[position], err) < 0) {
            return -1;
        }
        by_word = by_word || (cli->help && !help);
    }
    cli->argc = argc - position;
    cli->argv = argv + position;
    if (cli->argc > 0 && (by_word || cli->command->run == NULL)) {
        return unexpected(cli->argv[0], err);
    }
    cli->help = cli->help || (cli->in_group && cli->command == NULL && !cli->version);
    if (cli->help || cli->version) {
        return 0;
    }
    if (cli->command == NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "no command");
        return error_hint(err, "try --help");
    }
    if (cli->argc == 0 && cli->command->needs != NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "'%s' needs %s", cli->command->name,
                        cli->command->needs);
        return error_hint(err, "try '%s %s'", program_name(), cli->command->needs_example);
    }
    if (cli->argc > cli->command->arguments_ceiling) {
        return unexpected(cli->argv[cli->command->arguments_ceiling], err);
    }
    return check_options(cli, err) < 0 ? -1 : check_exclusive(cli, err);
}
