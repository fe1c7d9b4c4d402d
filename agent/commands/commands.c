/* SPDX-License-Identifier: MIT */
#include "agent/commands/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/commands/await.h"
#include "agent/commands/own.h"
#include "agent/commands/place.h"
#include "agent/commands/task_metadata.h"
#include "agent/limits.h"

#define FIELD(name) offsetof(struct command_line, name)

#define AWAIT_TIMEOUT_MS    30000
#define METADATA_TIMEOUT_MS 2000
#define SERVICE_TIMEOUT_MS  600000 /* a helper image may still be downloaded meanwhile */

#define HELP_ROW                                                                             \
    {                                                                                        \
        "help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this and exit", FIELD(help), 0, 0 \
    }

static const struct option_row plain_rows[] = {{.help = "Options"}, HELP_ROW};

static const struct option_row place_rows[] = {
    {.help = "Options"},
    {"builds", 0, OPTION_TEXT, "DIRECTORY", NULL, NULL,
     "also make this directory, with mode 1777, for jobs of any user", FIELD(builds), 0, 0},
    HELP_ROW,
};

static const struct option_row await_rows[] = {
    {.help = "Options"},
    {"timeout", 0, OPTION_DURATION, "DURATION", NULL, "30s", "fail after this time",
     FIELD(timeout_ms), 1, 86400000},
    HELP_ROW,
};

static const struct option_row metadata_rows[] = {
    {.help = "Options"},
    {"timeout", 0, OPTION_DURATION, "DURATION", NULL, "2s", "fail after this time",
     FIELD(timeout_ms), 1, 60000},
    HELP_ROW,
};

static const struct option_row service_rows[] = {
    {.help = "Options"},
    {"variables", 0, OPTION_TEXT, "FILE", NULL, NULL,
     "wait for this file, NAME=VALUE entries that each end with a NUL byte, and add them to the "
     "environment",
     FIELD(variables), 0, 0},
    {"timeout", 0, OPTION_DURATION, "DURATION", NULL, "10m", "fail if it has not come by then",
     FIELD(timeout_ms), 1, 86400000},
    HELP_ROW,
};

static int run_identity(const struct command_line *line, struct error *err)
{
    (void)line;
    (void)err;
    (void)printf("%u %u\n", (unsigned)geteuid(), (unsigned)getegid());
    return 0;
}

static int run_place(const struct command_line *line, struct error *err)
{
    return place(line->program, line->arguments[0], line->builds, err);
}

static int run_own(const struct command_line *line, struct error *err)
{
    return own(line->arguments[0], line->arguments[1], err);
}

static int run_await(const struct command_line *line, struct error *err)
{
    return await_ports(line->arguments, line->argc, line->timeout_ms, err);
}

static int run_task_metadata(const struct command_line *line, struct error *err)
{
    return task_metadata(getenv("ECS_CONTAINER_METADATA_URI_V4"), line->timeout_ms, err);
}

static const struct agent_command commands[] = {
    {.name = "health",
     .arguments = "[OPTION...]",
     .help = "check that the agent in this container answers",
     .details = "Takes the agent's options. Exits with 0 if the agent answers, otherwise with 1."},
    {.name = "place",
     .arguments = "DIRECTORY",
     .help = "copy this program into a volume, for containers that start it from there",
     .details = "Copies itself to DIRECTORY/berth-agent and the busybox beside it, if there is\n"
                "one, to DIRECTORY/busybox, and makes the links DIRECTORY/applets/* to busybox\n"
                "and DIRECTORY/helper/gitlab-runner to /usr/bin/gitlab-runner-helper.",
     .rows = place_rows,
     .row_count = OPTION_COUNT(place_rows),
     .least = 1,
     .most = 1,
     .run = run_place},
    {.name = "identity",
     .arguments = "",
     .help = "print the user ID and group ID of this process",
     .details = "Needs no 'id' program and no /etc/passwd.",
     .rows = plain_rows,
     .row_count = OPTION_COUNT(plain_rows),
     .run = run_identity},
    {.name = "own",
     .arguments = "UID:GID DIRECTORY",
     .help = "change the owner of a directory and everything in it",
     .details = "Follows no symbolic links and stays on the file system of DIRECTORY. Exits with\n"
                "1 if the owner of something could not be changed.",
     .rows = plain_rows,
     .row_count = OPTION_COUNT(plain_rows),
     .least = 2,
     .most = 2,
     .run = run_own},
    {.name = "await",
     .arguments = "HOST:PORT...",
     .help = "wait until one of these ports accepts a connection",
     .details = "HOST is an address, [ADDRESS] for IPv6, or a name in /etc/hosts. Exits with 1\n"
                "after the timeout.",
     .rows = await_rows,
     .row_count = OPTION_COUNT(await_rows),
     .least = 1,
     .most = LIMIT_AWAITED,
     .timeout_ms = AWAIT_TIMEOUT_MS,
     .run = run_await},
    {.name = "task-metadata",
     .arguments = "",
     .help = "print what ECS knows about this task, as JSON",
     .details = "Asks the task metadata endpoint, version 4, for /task. Exits with 1 outside ECS.",
     .rows = metadata_rows,
     .row_count = OPTION_COUNT(metadata_rows),
     .timeout_ms = METADATA_TIMEOUT_MS,
     .run = run_task_metadata},
    {.name = "service",
     .arguments = "--variables FILE -- COMMAND...",
     .help = "run a service's command as 'berth-agent --init-only', with variables from a file",
     .details = "Reaps processes and forwards signals. Exits with the command's status, or 128 +\n"
                "N if signal N ended it or the wait for FILE, and with 1 without FILE.",
     .rows = service_rows,
     .row_count = OPTION_COUNT(service_rows),
     .least = 1,
     .most = COMMAND_ARGUMENTS,
     .timeout_ms = SERVICE_TIMEOUT_MS,
     .has_command = true},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

const struct agent_command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

struct nearest command_nearest(const char *name)
{
    struct nearest nearest = nearest_begin(name);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        nearest_try(&nearest, commands[i].name);
    }
    return nearest;
}

/* Options may come before, between and after arguments, which is what people type. */
static int read_words(const struct agent_command *command, int argc, char *const argv[],
                      struct command_line *line, struct error *err)
{
    bool ended = false; /* by "--", or by the command that the words begin */
    while (argc > 1) {
        int next = 1;
        if (!ended &&
            options_parse(command->rows, command->row_count, line, argc, argv, &next, err) < 0) {
            return -1;
        }
        ended = ended || strcmp(argv[next - 1], "--") == 0;
        argc -= next;
        argv += next;
        if (argc == 0) {
            return 0;
        }
        if (command->has_command) {
            line->argc = 1;
            line->command = argv;
            return 0;
        }
        if (line->argc == command->most) {
            (void)error_set(err, ERROR_USAGE, 0, "%s: unexpected argument '%s'", command->name,
                            argv[0]);
            return error_hint(err, "usage: berth-agent %s %s", command->name, command->arguments);
        }
        line->arguments[line->argc++] = argv[0];
    }
    return 0;
}

int command_parse(const struct agent_command *command, int argc, char *const argv[],
                  struct command_line *out_line, struct error *err)
{
    struct command_line line = {.program = argv[0], .timeout_ms = command->timeout_ms};
    if (read_words(command, argc - 1, argv + 1, &line, err) < 0) {
        return -1;
    }
    if (!line.help && line.argc < command->least) {
        (void)error_set(err, ERROR_USAGE, 0, "%s: missing argument", command->name);
        return error_hint(err, "usage: berth-agent %s %s", command->name, command->arguments);
    }
    *out_line = line;
    return 0;
}

void command_print_help(const struct agent_command *command)
{
    (void)printf("Usage: berth-agent %s%s%s\n\n%s\n\n", command->name,
                 command->arguments[0] == '\0' ? "" : " ", command->arguments, command->details);
    options_print(stdout, command->rows, command->row_count);
}

void commands_print(void)
{
    (void)fputs("Commands:\n", stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[64];
        int width =
            snprintf(left, sizeof(left), "  %s %s", commands[i].name, commands[i].arguments);
        if (width > OPTION_HELP_COLUMN - 2) {
            (void)printf("%s\n%*s", left, OPTION_HELP_COLUMN, "");
        } else {
            (void)printf("%-*s", OPTION_HELP_COLUMN, left);
        }
        options_print_text(stdout, OPTION_HELP_COLUMN, OPTION_HELP_COLUMN, commands[i].help);
    }
}
