/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the command line of berth-driver: one table of commands, one of options.
 *
 * Options may come before, between and after the words of the command. cli_parse() fills the
 * caller's struct with pointers into argv and the environment. Mistakes are ERROR_USAGE; so is an
 * option that the command or the backend (cli_check_backend()) does not use.
 */
#ifndef BERTH_DRIVER_CLI_H
#define BERTH_DRIVER_CLI_H

#include <stdbool.h>

#include "driver/commands/command.h"
#include "driver/config/config_load.h"

/* What the exit status of a command can be; cli_help.c has the list. */
enum cli_exit {
    CLI_EXIT_ORDINARY,
    CLI_EXIT_DOCTOR,
    CLI_EXIT_OF_JOB, /* that of the command in the task */
    CLI_EXIT_STAGE,  /* the runner's codes */
};

struct cli_command {
    const char *group, *group_alias; /* "custom", NULL: none */
    const char *name, *alias;
    const char *arguments;     /* as shown in --help */
    const char *help;          /* one line */
    const char *options;       /* " name name ": its options beside the common ones */
    const char *examples;      /* lines for --help */
    const char *needs;         /* what an empty command line lacks; NULL: nothing */
    const char *needs_example; /* what to type instead */
    int arguments_ceiling;
    enum cli_exit exit;
    bool without_file;      /* reads no configuration */
    bool only_a_named_file; /* reads none but that of --config: 'init' can replace a broken file */
    bool is_exec;           /* see struct config_options */
    bool reports_configuration; /* its errors and warnings are findings, not logged */
    bool only_reads;     /* without --stop and --task-definitions: a signal ends it at once */
    bool before_the_job; /* when it is stopped, the job's script has not begun */
    bool must_end;       /* continues without LogFile; its interruption is an error */
    bool takes_long;     /* the log file also gets a line when it begins */
    bool names_stage;    /* its second word is the stage's name */
    command_run *run;
};

struct cli {
    struct config_options options;
    struct command_options own; /* of single commands */
    bool help, version;
    bool keys;                         /* "help config": print the configuration keys */
    bool in_group;                     /* "custom" was given, perhaps without a command */
    const struct cli_command *command; /* NULL: none was given */
    int argc;
    char *const *argv; /* the words after the command */
};

int cli_parse(struct cli *cli, int argc, char *const argv[], struct error *err)
    __attribute__((warn_unused_result));
/* Fails for an option that the backend of this name does not use. */
int cli_check_backend(const struct cli *cli, const char *backend, struct error *err)
    __attribute__((warn_unused_result));
/* For the program, for the given command, or the configuration keys. */
void cli_print_help(const struct cli *cli);
void cli_print_version(void);

#endif
