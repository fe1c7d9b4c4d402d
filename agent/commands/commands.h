/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the agent's commands besides serving: 'berth-agent COMMAND ...'.
 *
 * Each runs in its own process, without the agent's signals and hardening, mostly in images that
 * hold nothing but this program: without a shell, /proc, /tmp or /etc/passwd. A command prints its
 * result to stdout, returns its exit status, and reports a failure in 'err', which main() prints.
 * A new command is a row in commands.c. 'service' and 'health' are in main.c, since they need the
 * agent's options.
 */
#ifndef BERTH_AGENT_COMMANDS_COMMANDS_H
#define BERTH_AGENT_COMMANDS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/limits.h"
#include "common/error.h"
#include "common/nearest.h"
#include "common/options.h"

#define COMMAND_ARGUMENTS LIMIT_AWAITED

/* The options of all commands, and the arguments. */
struct command_line {
    const char *program; /* argv[0] */
    int argc;
    char *arguments[COMMAND_ARGUMENTS + 1]; /* without options between them */
    char *const *command;                   /* the words that begin with the first argument */
    bool help;
    const char *builds;
    const char *variables;
    int64_t timeout_ms;
};

struct agent_command {
    const char *name;
    const char *arguments; /* as in --help */
    const char *help;      /* one sentence */
    const char *details;   /* lines for the command's own --help */
    const struct option_row *rows;
    size_t row_count;
    int least, most;    /* arguments */
    int64_t timeout_ms; /* unless --timeout is given; 0: the command has none */
    bool has_command;   /* the first argument begins a command, whose words are no options */
    int (*run)(const struct command_line *line, struct error *err); /* -1: 'err' is filled */
};

/* NULL: not a command. */
const struct agent_command *command_find(const char *name);
/* The command that a misspelt one may be. */
struct nearest command_nearest(const char *name);

/* Reads the words after the command's name. Fails with ERROR_USAGE. */
int command_parse(const struct agent_command *command, int argc, char *const argv[],
                  struct command_line *out_line, struct error *err)
    __attribute__((warn_unused_result));

void command_print_help(const struct agent_command *command);
/* One line for each command. */
void commands_print(void);

#endif
