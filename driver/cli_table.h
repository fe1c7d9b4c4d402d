/* SPDX-License-Identifier: MIT */
/*
 * cli_table.h - the tables of berth-driver's command line, for parsing, help and completion.
 *
 * Both are constants of cli.c; man pages and docs/reference.md are made from the help that shows
 * them.
 */
#ifndef BERTH_DRIVER_CLI_TABLE_H
#define BERTH_DRIVER_CLI_TABLE_H

#include "common/options.h"
#include "driver/cli.h"

/* Both end with a row whose texts are all NULL. */
extern const struct cli_command cli_commands[];
extern const struct option_row cli_options[];

/* Whether every command takes this option, or this one does; 'command' NULL: any command. */
bool cli_takes(const struct cli_command *command, const char *option);

/* Shell completion (cli_completion.c). */
command_run cli_command_completion;

#endif
