/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/fd.h"
#include "driver/commands/command.h"
#include "driver/commands/init/init.h"

#define FILE_CEILING_BYTES (64UL << 10)
#define FILE_MODE          0644 /* the file has no secrets */
#define DEFAULT_PATH       "/etc/gitlab-runner/fargate.toml"

static const char *const stages[] = {"config", "prepare", "run", "cleanup"};

static int prompt_all(struct init_dialog *init, struct error *err)
{
    for (size_t i = 0; i < init_question_count; i++) {
        if (init_is_asked(init, &init_questions[i]) && init_prompt(init, i, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Commands and settings to paste. */
static void print_next_steps(const struct init_dialog *init, const char *path)
{
    char program[PATH_MAX] = "/opt/gitlab-runner/berth-driver";
    char whole[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length > 0) {
        program[length] = '\0';
    }
    if (realpath(path, whole) == NULL) {
        (void)snprintf(whole, sizeof(whole), "%s", path);
    }
    (void)fprintf(stderr, "\nwritten: %s\nnext: %s --config %s doctor\n", whole, program, whole);
    if (strcasecmp(init->answers[0], "ecs") == 0 && init_answer(init, "AgentImage")[0] == '\0') {
        (void)fprintf(stderr,
                      "for jobs with 'image:' and 'services:' of their own: %s --config %s "
                      "push-agent --helper\n",
                      program, whole);
    }
    (void)fprintf(stderr, "and in config.toml of GitLab Runner:\n\n");
    (void)printf(
        "[[runners]]\n  executor = \"custom\"\n  builds_dir = \"/opt/gitlab-runner/builds\"\n"
        "  cache_dir = \"/opt/gitlab-runner/cache\"\n  [runners.custom]\n");
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        (void)printf(
            "    %s_exec = \"%s\"\n    %s_args = [\"--config\", \"%s\", \"custom\", \"%s\"]\n",
            stages[i], program, stages[i], whole, stages[i]);
    }
}

static int write_file(const struct init_dialog *init, const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, FILE_CEILING_BYTES);
    int result = init_write_file(init, &text) < 0
                     ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the settings")
                     : fd_replace_file(path, text.bytes, text.length, FILE_MODE, err);
    buffer_done(&text);
    return result;
}

/* Before the first question, so that no answers are lost. */
static int check_path(const char *path, bool force, struct error *err)
{
    char directory[PATH_MAX];
    (void)snprintf(directory, sizeof(directory), "%s", path);
    if (!force && access(path, F_OK) == 0) {
        (void)error_set(err, ERROR_USAGE, 0, "'%s' already exists", path);
        return error_hint(err, "name another file, or use --force to replace it");
    }
    const char *parent = dirname(directory);
    if (access(parent, W_OK) < 0) {
        bool missing = errno == ENOENT;
        (void)error_set(err, ERROR_USAGE, errno, "cannot write in '%s'", parent);
        return missing
                   ? error_hint(err, "create it with 'mkdir -p %s', or name another file", parent)
                   : error_hint(err, "run this as root, or name another file");
    }
    return 0;
}

int command_init(struct command_context *context, struct result *out_result, struct error *err)
{
    const char *path = context->argc > 0 ? context->argv[0] : DEFAULT_PATH;
    struct init_dialog *init = NULL;
    if (check_path(path, context->options->force, err) < 0) {
        return -1;
    }
    init = calloc(1, sizeof(*init));
    if (init == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot prompt");
    }
    init->config = context->config;
    init->signals = context->signals;
    int result = prompt_all(init, err);
    init_done(init);
    if (result == 0 && (result = write_file(init, path, err)) == 0) {
        print_next_steps(init, path);
        out_result->kind = RESULT_SUCCESS;
    }
    free(init);
    return result < 0 ? error_wrap(err, "nothing was written") : 0;
}
