/* SPDX-License-Identifier: MIT */
/* Help and version of berth-driver; scripts/help_texts.py reads their layout. */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <libssh/libssh.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/revision.h"
#include "driver/base/program.h"
#include "driver/cli_table.h"
#include "driver/config/schema.h"

#define ROWS_CEILING 64 /* more than there are options */
#define HELP_BYTES   256

static void print_command(const struct cli_command *row)
{
    char left[64];
    char right[128];
    int width = snprintf(left, sizeof(left), "  %s%s%s %s", row->group == NULL ? "" : row->group,
                         row->group == NULL ? "" : " ", row->name, row->arguments);
    bool has_alias = row->alias != NULL;
    (void)snprintf(right, sizeof(right), "%s%s%s%s%s%s", row->help, has_alias ? " (also: " : "",
                   has_alias ? row->group_alias : "", has_alias ? " " : "",
                   has_alias ? row->alias : "", has_alias ? ")" : "");
    if (width > OPTION_HELP_COLUMN - 2) {
        (void)printf("%s\n%*s", left, OPTION_HELP_COLUMN, "");
    } else {
        (void)printf("%-*s", OPTION_HELP_COLUMN, left);
    }
    options_print_text(stdout, OPTION_HELP_COLUMN, OPTION_HELP_COLUMN, right);
}

/* A command that reads no configuration accepts the options about it, without effect. */
static bool has_effect(const struct cli_command *command, const char *option)
{
    bool plain = strcmp(option, "help") == 0 || strcmp(option, "version") == 0;
    return cli_takes(command, option) && (command == NULL || !command->without_file || plain);
}

/* Returns the part of "with 'ps': ...; with 'warm': ..." that is about the command itself. */
static const char *help_with(const char *help, const char *command, char out[HELP_BYTES])
{
    char label[48];
    int length = snprintf(label, sizeof(label), "with '%s': ", command);
    const char *own = strstr(help, label);
    if (own == NULL) {
        return help;
    }
    own += length;
    const char *other = strstr(own, "; with '");
    (void)snprintf(out, HELP_BYTES, "%.*s", other == NULL ? (int)strlen(own) : (int)(other - own),
                   own);
    return out;
}

/* The options of one command; NULL: all options. */
static void print_options(const struct cli_command *only)
{
    struct option_row rows[ROWS_CEILING];
    char texts[ROWS_CEILING][HELP_BYTES];
    size_t count = 0;
    for (const struct option_row *row = cli_options;
         (row->name != NULL || row->help != NULL) && count < ROWS_CEILING; row++) {
        if (row->name == NULL || has_effect(only, row->name)) {
            rows[count] = *row;
            if (only != NULL && row->name != NULL && row->help != NULL) {
                rows[count].help = help_with(row->help, only->name, texts[count]);
            }
            count++;
        }
    }
    options_print(stdout, rows, count);
}

/* Examples begin with the name under which the program is usually installed. */
static void print_examples(const struct cli *cli)
{
    static const char general[] = PROGRAM_NAME
        " init\n" PROGRAM_NAME " --config /etc/gitlab-runner/fargate.toml doctor\n" PROGRAM_NAME
        " exec --image node:16 -- npm test\n" PROGRAM_NAME " ssh 4711\n";
    const size_t own = strlen(PROGRAM_NAME);
    (void)printf("\nExamples:\n");
    for (const char *at = cli->command != NULL ? cli->command->examples : general; *at != '\0';) {
        int length = (int)strcspn(at, "\n");
        bool named = strncmp(at, PROGRAM_NAME " ", own + 1) == 0;
        (void)printf("  %s%.*s\n", named ? program_name() : "", length - (int)(named ? own : 0),
                     at + (named ? own : 0));
        at += length + 1;
    }
}

enum {
    ORDINARY = 1 << CLI_EXIT_ORDINARY,
    DOCTOR = 1 << CLI_EXIT_DOCTOR,
    OF_JOB = 1 << CLI_EXIT_OF_JOB,
    STAGE = 1 << CLI_EXIT_STAGE,
};

/* The only list of exit codes; main.c and result.c choose them. */
static const struct {
    struct option_status row;
    unsigned kinds; /* 0: all */
} exit_rows[] = {
    {{"0", "success"}, 0},
    {{"1", "failure"}, ORDINARY},
    {{"1", "'doctor': it found something that would prevent jobs from running"}, DOCTOR},
    {{"2", "wrong command line; nothing was done (stages in GitLab Runner: see below)"}, 0},
    {{"255", "'exec', 'ssh', 'doctor': Berth itself failed"}, OF_JOB | DOCTOR},
    {{"130, 143", "interrupted by Ctrl-C, stopped by SIGTERM (128 + the signal's number)"},
     ORDINARY | OF_JOB | DOCTOR},
    {{"N", "'exec', 'ssh': the command's status, or 128 + n if signal n ended it"}, OF_JOB},
    {{"BUILD_FAILURE_EXIT_CODE",
      "'custom': the job failed, or the configuration or command line is wrong (1 if unset)"},
     STAGE},
    {{"SYSTEM_FAILURE_EXIT_CODE",
      "'custom': anything else failed; GitLab may retry the job (2 if unset)"},
     STAGE},
};
#define EXIT_ROW_COUNT (sizeof(exit_rows) / sizeof(exit_rows[0]))

/* Prints those of one command; NULL: of all. The names of commands are for the list of all. */
static void print_exit_statuses(const struct cli_command *only)
{
    struct option_status rows[EXIT_ROW_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < EXIT_ROW_COUNT; i++) {
        unsigned kinds = exit_rows[i].kinds;
        if (only != NULL && kinds != 0 && (kinds & (1U << only->exit)) == 0) {
            continue;
        }
        rows[count] = exit_rows[i].row;
        const char *meaning = strstr(rows[count].meaning, "': ");
        if (only != NULL && meaning != NULL) {
            rows[count].meaning = meaning + 3;
        }
        count++;
    }
    options_print_statuses(stdout, rows, count);
}

static void print_overview(const struct cli *cli)
{
    (void)printf("Usage: %s [OPTION...] COMMAND\n"
                 "       %s COMMAND --help\n"
                 "       %s help [COMMAND]\n"
                 "       %s help config\n\n"
                 "Driver of GitLab Runner's custom executor: runs each GitLab CI job in its own\n"
                 "Fargate task, container or process.\n\n"
                 "Commands:\n",
                 program_name(), program_name(), program_name(), program_name());
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        if (!cli->in_group || row->group != NULL) {
            print_command(row);
        }
    }
    (void)printf("\n");
}

void cli_print_help(const struct cli *cli)
{
    const struct cli_command *only = cli->command;
    if (cli->keys) {
        schema_print(stdout);
        return;
    }
    if (only != NULL) {
        (void)printf("Usage: %s [OPTION...] %s%s%s%s%s\n\n%c%s.\n\n", program_name(),
                     only->group == NULL ? "" : only->group, only->group == NULL ? "" : " ",
                     only->name, only->arguments[0] == '\0' ? "" : " ", only->arguments,
                     toupper((unsigned char)only->help[0]), only->help + 1);
    } else {
        print_overview(cli);
    }
    print_options(only);
    print_examples(cli);
    print_exit_statuses(only);
}

void cli_print_version(void)
{
    (void)printf("%s %s (%s)\nlibssh %s\n%s\nlibsodium %s\ncJSON %s\n", program_name(),
                 BERTH_VERSION, revision_text, ssh_version(0), OpenSSL_version(OPENSSL_VERSION),
                 sodium_version_string(), cJSON_Version());
}
