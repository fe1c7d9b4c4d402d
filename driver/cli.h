/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the command line of berth-driver: one table of commands, one of options.
 *
 * Options may stand before, between and behind the words of the command. cli_parse() fills the
 * caller's struct with pointers into argv and the environment; mistakes are ERROR_USAGE.
 */
#ifndef BERTH_DRIVER_CLI_H
#define BERTH_DRIVER_CLI_H

#include <stdbool.h>

#include "driver/command.h"

struct cli_command {
    const char *group, *group_alias; /* "custom", NULL: none */
    const char *name, *alias;
    const char *arguments; /* as shown in --help */
    const char *help;      /* one line */
    const char *options;   /* " name name " of those that it looks at, beside the common ones */
    command_run *run;
};

struct cli {
    struct config_options options;
    bool help, version;
    bool stop;
    bool policy;
    bool force;
    bool in_group;                     /* "custom" was said, perhaps without a command */
    const struct cli_command *command; /* NULL: none was said */
    int argc;
    char *const *argv; /* the words after the command */
};

int cli_parse(struct cli *cli, int argc, char *const argv[], struct error *err)
    __attribute__((warn_unused_result));
/* For the program, or for the command that was said. */
void cli_print_help(const struct cli *cli);
void cli_print_version(void);

#endif
