/* SPDX-License-Identifier: MIT */
/*
 * init.h - 'berth-driver init': writes a configuration interactively.
 *
 *   questions.c    the table of questions, and of keys that are written as comments; which apply
 *   prompt.c       one question: suggestions, default, answer, check of the answer
 *   suggestions.c  the names that AWS lists
 *   file.c         the answers as a commented file
 *
 * Answers are lines of stdin and prompts go to stderr, so that answers can be piped in. The reader
 * of the file (config_file.h) checks each answer. The file is written after the last answer. Texts
 * are at most INIT_ANSWER_BYTES long.
 */
#ifndef BERTH_DRIVER_COMMANDS_INIT_INIT_H
#define BERTH_DRIVER_COMMANDS_INIT_INIT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

#define INIT_ANSWER_BYTES 512
#define INIT_QUESTIONS    40

enum init_source { INIT_NONE, INIT_CLUSTERS, INIT_FAMILIES, INIT_SUBNETS, INIT_GROUPS };

struct init_question {
    const char *backend;  /* NULL: every backend */
    const char *section;  /* NULL: the root */
    const char *key;      /* of schema.h, which has its type and the comment in the file */
    const char *question; /* NULL: not asked; the file has 'fallback' in a comment */
    const char *fallback; /* the default; "": may stay unset; NULL: an answer is required */
    enum init_source source;
    const char *needs; /* asked only if this key has an answer; NULL: always */
};

extern const struct init_question init_questions[];
extern const size_t init_question_count;

struct init_dialog {
    const struct config *config; /* from command line and environment */
    struct signals *signals;
    char answers[INIT_QUESTIONS][INIT_ANSWER_BYTES]; /* per question; empty: unset */
    struct aws_client *client;
    struct config aws_config; /* of the client, with the region of the answer */
    bool aws_refused;         /* a call failed: no more calls */
};

/* The answer for a key; empty: none yet. */
const char *init_answer(const struct init_dialog *init, const char *key);
/* Whether it belongs to the chosen backend. */
bool init_applies(const struct init_dialog *init, const struct init_question *question);

/* Whether it is asked, after the answers so far. */
bool init_is_asked(const struct init_dialog *init, const struct init_question *question);

/* Prompts until an answer is valid. Fails at the end of the input and for a signal. */
int init_prompt(struct init_dialog *init, size_t index, struct error *err)
    __attribute__((warn_unused_result));

/* Appends the names that AWS lists, separated by ", "; nothing if the call fails. Returns how many.
 */
size_t init_suggest(struct init_dialog *init, enum init_source source, struct buffer *out);
void init_done(struct init_dialog *init);

/* "[Table]\nKey = value\n"; -1 without memory. */
int init_write_entry(struct buffer *out, const struct init_question *question, const char *answer)
    __attribute__((warn_unused_result));
int init_write_file(const struct init_dialog *init, struct buffer *out)
    __attribute__((warn_unused_result));

#endif
