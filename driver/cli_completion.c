/* SPDX-License-Identifier: MIT */
/* 'berth-driver completion SHELL': scripts made from the tables of cli.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/nearest.h"
#include "driver/base/program.h"
#include "driver/cli_table.h"

/* Options whose values are known words. Files and directories follow from the placeholder. */
static const struct {
    const char *option, *words;
} values[] = {
    {"backend", "local docker ecs"},
    {"log-level", "debug info warn error fatal"},
    {"log-format", "text json"},
    {"container", "job helper"},
};

/* How bash and zsh write the same. */
struct syntax {
    const char *words;    /* before the cursor */
    const char *previous; /* the word before the cursor */
    const char *files, *directories;
    const char *list_begin, *list_end; /* around words to choose from */
};

static const struct syntax bash_syntax = {
    .words = "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"",
    .previous = "${COMP_WORDS[COMP_CWORD-1]}",
    .files = "compopt -o default",
    .directories = "compopt -o dirnames",
    .list_begin = "COMPREPLY=($(compgen -W '",
    .list_end = "' -- \"$current\"))",
};
static const struct syntax zsh_syntax = {
    .words = "${words[2,CURRENT-1]}",
    .previous = "${words[CURRENT-1]}",
    .files = "_files",
    .directories = "_files -/",
    .list_begin = "compadd -- ",
    .list_end = "",
};

static const char *words_of(const struct option_row *row)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strcmp(values[i].option, row->name) == 0) {
            return values[i].words;
        }
    }
    return NULL;
}

static bool takes(const struct option_row *row, const char *placeholder)
{
    return row->argument != NULL && strcmp(row->argument, placeholder) == 0;
}

static bool takes_file(const struct option_row *row)
{
    return takes(row, "PATH") || takes(row, "FILE");
}

/* The first row with a name after 'row', or of the table; NULL: no more. */
static const struct option_row *next_option(const struct option_row *row)
{
    row = row == NULL ? cli_options : row + 1;
    while (row->name == NULL && row->help != NULL) {
        row++;
    }
    return row->name == NULL ? NULL : row;
}

/* Text within single quotes: fish knows \' inside them, the others only '\''. */
static void print_quoted(const char *text, const char *apostrophe)
{
    for (; *text != '\0'; text++) {
        (void)(*text == '\'' ? fputs(apostrophe, stdout) : putchar(*text));
    }
}

/* "custom:run" or "exec", as the scripts name commands. */
static void print_key(const struct cli_command *row)
{
    (void)printf("%s%s%s", row->group == NULL ? "" : row->group, row->group == NULL ? "" : ":",
                 row->name);
}

/* The loop that finds the command among the words before the cursor. */
static void print_search(const struct syntax *syntax)
{
    (void)printf("    for word in %s; do\n        case $command$word in\n        ", syntax->words);
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        print_key(row);
        (void)printf("%s", row[1].name == NULL ? ") command=$command$word; break ;;\n" : " | ");
    }
    (void)printf("        custom | c) command=custom: ;;\n        esac\n    done\n");
}

/* The value of the option before the cursor. */
static void print_values(const struct syntax *syntax)
{
    (void)printf("    case %s in\n", syntax->previous);
    for (const struct option_row *row = next_option(NULL); row != NULL; row = next_option(row)) {
        const char *words = words_of(row);
        if (row->type == OPTION_FLAG) {
            continue;
        }
        (void)printf("    --%s", row->name);
        if (row->letter != 0) {
            (void)printf(" | -%c", row->letter);
        }
        (void)printf(") %s%s%s; return ;;\n",
                     words != NULL             ? syntax->list_begin
                     : takes_file(row)         ? syntax->files
                     : takes(row, "DIRECTORY") ? syntax->directories
                                               : ":",
                     words != NULL ? words : "", words != NULL ? syntax->list_end : "");
    }
    (void)printf("    esac\n");
}

/* One case for each command, with its options; without a command: all options. */
static void print_options(bool described)
{
    (void)printf("        case $command in\n");
    for (const struct cli_command *row = cli_commands;; row++) {
        (void)printf("        ");
        if (row->name == NULL) {
            (void)printf("*");
        } else {
            print_key(row);
        }
        (void)printf(described ? ") list=(\n" : ") list='");
        for (const struct option_row *option = next_option(NULL); option != NULL;
             option = next_option(option)) {
            if (option->help == NULL || !cli_takes(row->name == NULL ? NULL : row, option->name)) {
                continue;
            }
            (void)printf(described ? "            '--%s:" : "--%s ", option->name);
            if (described) {
                print_quoted(option->help, "'\\''");
                (void)printf("'\n");
            }
        }
        (void)printf(described ? "        ) ;;\n" : "' ;;\n");
        if (row->name == NULL) {
            break;
        }
    }
    (void)printf("        esac\n");
}

static void print_names(bool grouped)
{
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        if (grouped == (row->group != NULL)) {
            (void)printf("%s ", row->name);
        }
    }
}

static void print_bash(void)
{
    (void)printf("# bash completion of %s\n_berth_driver() {\n"
                 "    local command= word list current=${COMP_WORDS[COMP_CWORD]}\n"
                 "    COMPREPLY=()\n",
                 program_name());
    print_search(&bash_syntax);
    print_values(&bash_syntax);
    (void)printf("    if [[ $current == -* ]]; then\n");
    print_options(false);
    (void)printf("    else\n        case $command in\n        custom:) list='");
    print_names(true);
    (void)printf("' ;;\n        '' | help) list='custom ");
    print_names(false);
    (void)printf("' ;;\n        completion) list='bash zsh fish' ;;\n"
                 "        *) compopt -o default; return ;;\n        esac\n    fi\n"
                 "    COMPREPLY=($(compgen -W \"$list\" -- \"$current\"))\n}\n"
                 "complete -F _berth_driver %s\n",
                 program_name());
}

static void print_zsh_commands(bool grouped)
{
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        if (grouped == (row->group != NULL)) {
            (void)printf("            '%s:", row->name);
            print_quoted(row->help, "'\\''");
            (void)printf("'\n");
        }
    }
    (void)printf("        ) ;;\n");
}

static void print_zsh(void)
{
    (void)printf("#compdef %s\n_berth_driver() {\n    local command= word\n"
                 "    local -a list\n",
                 program_name());
    print_search(&zsh_syntax);
    print_values(&zsh_syntax);
    (void)printf("    if [[ ${words[CURRENT]} == -* ]]; then\n");
    print_options(true);
    (void)printf("    else\n        case $command in\n        custom:) list=(\n");
    print_zsh_commands(true);
    (void)printf("        '' | help) list=(\n            'custom:stages of a job, called by GitLab "
                 "Runner'\n");
    print_zsh_commands(false);
    (void)printf("        completion) list=(bash zsh fish) ;;\n"
                 "        *) _files; return ;;\n        esac\n    fi\n"
                 "    _describe '%s' list\n}\n"
                 "if [[ $funcstack[1] == _berth_driver ]]; then _berth_driver; else "
                 "compdef _berth_driver %s; fi\n",
                 program_name(), program_name());
}

static void print_fish_option(const struct option_row *row)
{
    const char *words = words_of(row);
    bool first = true;
    (void)printf("complete -c %s -l %s", program_name(), row->name);
    if (row->letter != 0) {
        (void)printf(" -s %c", row->letter);
    }
    if (row->type != OPTION_FLAG) {
        (void)printf(takes_file(row) || takes(row, "DIRECTORY") ? " -rF" : " -x");
    }
    if (words != NULL) {
        (void)printf(" -a '%s'", words);
    }
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (!cli_takes(NULL, row->name) || cli_takes(command, row->name)) {
            continue;
        }
        (void)printf("%s%s", first ? " -n 'not __fish_seen_subcommand_from " : " ", command->name);
        first = false;
    }
    (void)printf("%s -d '", first ? "" : "'");
    print_quoted(row->help, "\\'");
    (void)printf("'\n");
}

static void print_fish(void)
{
    const char *name = program_name();
    (void)printf("# fish completion of %s\n"
                 "complete -c %s -f -n __fish_use_subcommand -a custom "
                 "-d 'stages of a job, called by GitLab Runner'\n"
                 "complete -c %s -f -n '__fish_seen_subcommand_from completion' "
                 "-a 'bash zsh fish'\n",
                 name, name, name);
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        (void)printf("complete -c %s -f -n %s -a %s -d '", name,
                     row->group != NULL
                         ? "'__fish_seen_subcommand_from custom'"
                         : "'__fish_use_subcommand; or __fish_seen_subcommand_from help'",
                     row->name);
        print_quoted(row->help, "\\'");
        (void)printf("'\n");
    }
    for (const struct option_row *row = next_option(NULL); row != NULL; row = next_option(row)) {
        if (row->help != NULL) {
            print_fish_option(row);
        }
    }
}

int cli_command_completion(struct command_context *context, struct result *out_result,
                           struct error *err)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    struct nearest nearest = nearest_begin(context->argv[0]);
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        nearest_try(&nearest, shells[i].name);
        if (strcmp(context->argv[0], shells[i].name) == 0) {
            shells[i].print();
            *out_result = (struct result){.kind = RESULT_SUCCESS};
            return fflush(stdout) == 0
                       ? 0
                       : error_set(err, ERROR_SYSTEM, errno, "cannot write to stdout");
        }
    }
    (void)error_set(err, ERROR_USAGE, 0, "no completion for '%s', only for bash, zsh and fish",
                    context->argv[0]);
    return nearest.best == NULL ? -1 : nearest_hint(&nearest, err);
}
