/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/fd.h"
#include "driver/backend/backend.h"
#include "driver/commands/init/init.h"
#include "driver/config/config_file.h"
#include "driver/config/schema.h"
#include "driver/registry/name.h"

#define ENTRY_BYTES      4096
#define SUGGESTION_BYTES 4096

/* One line without its newline, cut at 'room'. 1: a line; 0: end of input; -1: a signal. */
static int read_line(struct signals *signals, char *out, size_t room)
{
    size_t length = 0;
    for (;;) {
        char byte = 0;
        if (signals_wait(signals, STDIN_FILENO, CLOCK_NEVER) < 0) {
            return -1;
        }
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got <= 0 || byte == '\n') {
            return got > 0 || length > 0 ? 1 : 0;
        }
        if (length + 1 < room && byte != '\r') {
            out[length++] = byte;
            out[length] = '\0';
        }
    }
}

/* By the loader: the entry alone, in a temporary file. */
static int check_entry(const struct init_question *question, const char *answer, struct error *err)
{
    struct buffer text;
    struct config config = {0};
    char path[32];
    cleanup_fd int fd = fd_memory_file("init", 0, err);
    if (fd < 0) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    buffer_init(&text, ENTRY_BYTES);
    int result = init_write_entry(&text, question, answer) < 0 ||
                         fd_write_all(fd, text.bytes, text.length, CLOCK_NEVER) < 0
                     ? error_set(err, ERROR_SYSTEM, errno, "cannot check the answer")
                     : config_file_load(&config, path, err);
    config_done(&config);
    buffer_done(&text);
    return result;
}

static int check_answer(const struct init_question *question, const char *answer, struct error *err)
{
    static const char *const truths[] = {"y", "yes", "true", "n", "no", "false"};
    enum schema_type type = schema_find(question->section, question->key)->type;
    struct image_name name;
    bool is_truth = false;
    for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++) {
        is_truth = is_truth || strcasecmp(answer, truths[i]) == 0;
    }
    if ((type == SCHEMA_BOOL || type == SCHEMA_TRISTATE) && !is_truth) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is neither yes nor no", answer);
    }
    if (strcmp(question->key, "Backend") == 0 && backend_find(answer) == NULL) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not local, docker or ecs", answer);
    }
    bool is_image = strcmp(question->key, "Image") == 0 || strcmp(question->key, "AgentImage") == 0;
    if (is_image && image_name_parse(answer, &name) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not a valid image name", answer);
    }
    return check_entry(question, answer, err);
}

/* Without "FILE:LINE: SECTION.KEY", which is a temporary file here. */
static void print_refusal(const struct init_question *question, const struct error *err)
{
    char whole[ERROR_TEXT_BYTES];
    const char *text = strstr(error_text(err, whole), question->key);
    text = text != NULL ? text + strlen(question->key) : whole;
    escape_print(stderr, "  invalid: %s\n", text + strspn(text, ": "));
}

/* From the command line, the environment, or the only name that AWS lists. */
static void find_default(struct init_dialog *init, const struct init_question *question,
                         const struct buffer *suggestions, size_t suggested, char *out, size_t room)
{
    const char *region = getenv("AWS_REGION");
    const char *chosen = question->fallback;
    if (strcmp(question->key, "Backend") == 0 && init->config->backend != NULL) {
        chosen = init->config->backend;
    } else if (strcmp(question->key, "Region") == 0 && region != NULL) {
        chosen = region;
    } else if (suggested == 1) {
        chosen = suggestions->bytes;
    } else if (geteuid() != 0 && strcmp(question->key, "Directory") == 0) {
        /* Other users cannot write to root's directories; the configuration has their own. */
        chosen = strcmp(question->section, "Local") == 0 ? init->config->local_directory
                                                         : init->config->metadata_directory;
    }
    (void)snprintf(out, room, "%s", chosen == NULL ? "" : chosen);
}

static void print_prompt(const struct init_question *question, const struct buffer *suggestions,
                         size_t suggested, const char *fallback)
{
    if (suggested > 0) {
        escape_print(stderr, "  found: %s\n", suggestions->bytes);
    }
    escape_print(stderr, fallback[0] != '\0' ? "%s [%s] " : "%s%s ", question->question, fallback);
    (void)fflush(stderr);
}

/* 1: answered; 0: prompt again. */
static int read_answer(struct init_dialog *init, const struct init_question *question,
                       const char *fallback, char *answer, struct error *err)
{
    struct error why = {0};
    char line[INIT_ANSWER_BYTES] = "";
    int got = read_line(init->signals, line, sizeof(line));
    if (got <= 0) {
        return got < 0 ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
                       : error_set(err, ERROR_USAGE, 0, "end of input before an answer");
    }
    const char *given = line[0] != '\0' ? line : fallback;
    if (given[0] == '\0' && question->fallback == NULL) {
        (void)fprintf(stderr, "  an answer is required\n");
        return 0;
    }
    if (given[0] != '\0' && check_answer(question, given, &why) < 0) {
        print_refusal(question, &why);
        return 0;
    }
    (void)snprintf(answer, INIT_ANSWER_BYTES, "%s", given);
    return 1;
}

int init_prompt(struct init_dialog *init, size_t index, struct error *err)
{
    const struct init_question *question = &init_questions[index];
    struct buffer suggestions;
    char fallback[INIT_ANSWER_BYTES];
    int answered = 0;
    buffer_init(&suggestions, SUGGESTION_BYTES);
    size_t suggested = init_suggest(init, question->source, &suggestions);
    find_default(init, question, &suggestions, suggested, fallback, sizeof(fallback));
    while (answered == 0) {
        print_prompt(question, &suggestions, suggested, fallback);
        answered = read_answer(init, question, fallback, init->answers[index], err);
    }
    buffer_done(&suggestions);
    return answered < 0 ? error_wrap(err, "'%s'", question->question) : 0;
}
