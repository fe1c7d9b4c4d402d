/* SPDX-License-Identifier: MIT */
#include "driver/cli.h"

#include <cjson/cJSON.h>
#include <libssh/libssh.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/options.h"

#define COMMON_OPTIONS " config backend log-level debug log-format log-file help version "
#define TASK_OPTIONS   " image volume env user task-def platform-version "

static const struct cli_command commands[] = {
    {"custom", "c", "config", "co", "", "print the job's settings as JSON", "", stage_config},
    {"custom", "c", "prepare", "p", "", "launch the job's task and wait until it can be reached",
     TASK_OPTIONS, stage_prepare},
    {"custom", "c", "run", "r", "SCRIPT STAGE", "run a script of the job in its task", "",
     stage_run},
    {"custom", "c", "cleanup", "cl", "", "end the job's task and remove what it left", "",
     stage_cleanup},
    {NULL, NULL, "exec", NULL, "[--] COMMAND...",
     "launch a task, run a command in it, clean up, exit with its status",
     TASK_OPTIONS " workdir no-mount ", command_exec},
    {NULL, NULL, "ssh", NULL, "JOB [-- COMMAND...]",
     "a shell, or a command, in the task of a running job", "", command_ssh},
    {NULL, NULL, "ps", NULL, "", "list this runner's tasks: job, age, state, size, cost", "",
     command_ps},
    {NULL, NULL, "gc", NULL, "", "list tasks of this runner that no job of it knows any more",
     " stop ", command_gc},
    {NULL, NULL, "init", NULL, "[FILE]", "write a configuration by asking", " force ",
     command_init},
    {NULL, NULL, "doctor", NULL, "",
     "look for what stands between this configuration and its first job", TASK_OPTIONS " policy ",
     command_doctor},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

#define FIELD(name) offsetof(struct cli, name)

static const struct option_row option_rows[] = {
    {.help = "Options"},
    {"config", 0, OPTION_TEXT, "PATH", "BERTH_CONFIG", "built-in settings, backend 'local'",
     "read settings from this TOML file", FIELD(options.path), 0, 0},
    {"backend", 0, OPTION_TEXT, "NAME", NULL, "local", "where tasks run", FIELD(options.backend), 0,
     0},
    {"image", 0, OPTION_TEXT, "NAME", NULL, NULL, "container image, over the file's and the job's",
     FIELD(options.image), 0, 0},
    {"volume", 'v', OPTION_LIST, "FROM:TO[:ro]", NULL, NULL,
     "mount a directory or a named volume; can be given again", FIELD(options.volumes), 0, 0},
    {"env", 'e', OPTION_LIST, "NAME[=VALUE]", NULL, NULL,
     "variable of the container; without a value, this process's; can be given again",
     FIELD(options.environment), 0, 0},
    {"workdir", 'w', OPTION_TEXT, "DIRECTORY", NULL, "the current one, mounted",
     "where 'exec' runs the command", FIELD(options.workdir), 0, 0},
    {"user", 'u', OPTION_TEXT, "NAME", NULL, "that of the image",
     "user, or UID:GID, in the container", FIELD(options.user), 0, 0},
    {"no-mount", 0, OPTION_FLAG, NULL, NULL, NULL,
     "'exec' does not mount the current directory into the container", FIELD(options.no_mount), 0,
     0},
    {"task-def", 0, OPTION_TEXT, "NAME", NULL, NULL, "ECS task definition, over the file's",
     FIELD(options.task_definition), 0, 0},
    {"platform-version", 0, OPTION_TEXT, "VERSION", NULL, "LATEST",
     "Fargate platform version, over the file's", FIELD(options.platform_version), 0, 0},
    {"log-level", 0, OPTION_TEXT, "LEVEL", NULL, "info", "debug, info, warn, error or fatal",
     FIELD(options.log_level), 0, 0},
    {"debug", 0, OPTION_FLAG, NULL, NULL, NULL, "the same as --log-level debug",
     FIELD(options.debug), 0, 0},
    {"log-format", 0, OPTION_TEXT, "FORMAT", NULL, "text", "text or json",
     FIELD(options.log_format), 0, 0},
    {"log-file", 0, OPTION_TEXT, "PATH", NULL, "stderr", "append log lines to this file",
     FIELD(options.log_file), 0, 0},
    {"stop", 0, OPTION_FLAG, NULL, NULL, NULL, "with gc: stop what it lists", FIELD(stop), 0, 0},
    {"policy", 0, OPTION_FLAG, NULL, NULL, NULL,
     "with doctor: print the AWS policy that the runner needs, check nothing", FIELD(policy), 0, 0},
    {"force", 0, OPTION_FLAG, NULL, NULL, NULL, "with init: replace a file that is there",
     FIELD(force), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this and exit", FIELD(help), 0, 0},
    {"version", 'V', OPTION_FLAG, NULL, NULL, NULL, "print versions and exit", FIELD(version), 0,
     0},
};
#define ROW_COUNT OPTION_COUNT(option_rows)

static bool same_word(const char *word, const char *name, const char *alias)
{
    return (name != NULL && strcmp(word, name) == 0) || (alias != NULL && strcmp(word, alias) == 0);
}

/* One more word: the group, or a command. */
static int take_word(struct cli *cli, const char *word, struct error *err)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct cli_command *row = &commands[i];
        if (!cli->in_group && same_word(word, row->group, row->group_alias)) {
            cli->in_group = true;
            return 0;
        }
        if (cli->in_group == (row->group != NULL) && same_word(word, row->name, row->alias)) {
            cli->command = row;
            return 0;
        }
    }
    return error_set(err, ERROR_USAGE, 0, "unknown command '%s%s'; try --help",
                     cli->in_group ? "custom " : "", word);
}

int cli_parse(struct cli *cli, int argc, char *const argv[], struct error *err)
{
    struct option_row rows[ROW_COUNT];
    memcpy(rows, option_rows, sizeof(rows));
    *cli = (struct cli){0};
    int position = 0;
    for (;;) {
        int next = 0;
        if (options_parse(rows, ROW_COUNT, cli, argc - position, argv + position, &next, err) < 0) {
            return -1;
        }
        for (size_t i = 0; i < ROW_COUNT; i++) {
            rows[i].environment = NULL; /* read once, or it would win over what came before */
        }
        position += next;
        if (cli->command != NULL || position >= argc) {
            break;
        }
        if (take_word(cli, argv[position], err) < 0) {
            return -1;
        }
    }
    cli->argc = argc - position;
    cli->argv = argv + position;
    if (cli->command == NULL && !cli->help && !cli->version) {
        return error_set(err, ERROR_USAGE, 0, "%s; try --help",
                         cli->in_group ? "'custom' needs one of config, prepare, run, cleanup"
                                       : "no command");
    }
    return 0;
}

static void print_command(const struct cli_command *row)
{
    char words[48];
    (void)snprintf(words, sizeof(words), "%s%s%s%s", row->group == NULL ? "" : row->group,
                   row->group == NULL ? "" : " ", row->name, row->arguments[0] == '\0' ? "" : " ");
    (void)printf("  %s%-*s %s", words, (int)(28 - strlen(words)), row->arguments, row->help);
    if (row->alias != NULL) {
        (void)printf(" (also: %s %s)", row->group_alias, row->alias);
    }
    (void)printf("\n");
}

static bool lists(const char *names, const char *name)
{
    char spaced[32];
    (void)snprintf(spaced, sizeof(spaced), " %s ", name);
    return strstr(names, spaced) != NULL;
}

/* Those that 'only' looks at; NULL: all. */
static void print_options(const struct cli_command *only)
{
    struct option_row rows[ROW_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *name = option_rows[i].name;
        if (only == NULL || name == NULL || lists(COMMON_OPTIONS, name) ||
            lists(only->options, name)) {
            rows[count++] = option_rows[i];
        }
    }
    options_print(stdout, rows, count);
}

void cli_print_help(const struct cli *cli)
{
    const struct cli_command *only = cli->command;
    if (only != NULL) {
        (void)printf("Usage: berth-driver [OPTION...] %s%s%s %s\n\n%s.\n\n",
                     only->group == NULL ? "" : only->group, only->group == NULL ? "" : " ",
                     only->name, only->arguments, only->help);
    } else {
        (void)printf("Usage: berth-driver [OPTION...] COMMAND\n\n"
                     "Runs GitLab CI jobs in tasks of their own: the custom executor's driver.\n\n"
                     "Commands:\n");
        for (size_t i = 0; i < COMMAND_COUNT; i++) {
            if (!cli->in_group || commands[i].group != NULL) {
                print_command(&commands[i]);
            }
        }
        (void)printf("\n");
    }
    print_options(only);
    (void)printf(
        "\nExit codes: 'custom' commands use BUILD_FAILURE_EXIT_CODE and "
        "SYSTEM_FAILURE_EXIT_CODE of the\nenvironment (1 and 2 when unset); 'exec' and 'ssh' "
        "the command's status, 128 + n for signal n,\n255 for a failure of Berth.\n");
}

void cli_print_version(void)
{
    (void)printf("berth-driver %s\nlibssh %s\n%s\nlibsodium %s\ncJSON %s\n", BERTH_VERSION,
                 ssh_version(0), OpenSSL_version(OPENSSL_VERSION), sodium_version_string(),
                 cJSON_Version());
}
