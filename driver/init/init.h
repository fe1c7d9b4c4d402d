/* SPDX-License-Identifier: MIT */
/*
 * init.h - 'berth-driver init': a configuration made by asking.
 *
 *   questions.c  the table: what is asked, and what is only shown in the file, as a comment
 *   ask.c        one question: prompt, offers, answer, whether the settings take it
 *   offers.c     what AWS has to offer as an answer
 *   file.c       the answers as a commented file
 *
 * Answers are lines of stdin, prompts go to stderr, so that lines can be piped in. An answer is
 * checked by the parser that will read the file (config_file.h), so a file that was written can be
 * read. Nothing is written before the last answer. Texts are at most INIT_ANSWER_BYTES long.
 */
#ifndef BERTH_DRIVER_INIT_H
#define BERTH_DRIVER_INIT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/config.h"
#include "driver/signals.h"

#define INIT_ANSWER_BYTES 512
#define INIT_QUESTIONS    40

/* What an answer is in the file; a number that is none is a text there, for the settings to refuse.
 */
enum init_kind { INIT_TEXT, INIT_NUMBER, INIT_LIST, INIT_BOOL };

enum init_offer { INIT_NONE, INIT_CLUSTERS, INIT_FAMILIES, INIT_SUBNETS, INIT_GROUPS };

struct init_question {
    const char *backend; /* NULL: of all */
    const char *table;   /* NULL: the root */
    const char *key;
    const char *question; /* NULL: not asked, shown with 'fallback' as a comment */
    const char *comment;  /* in the file */
    const char *fallback; /* the default; "": may stay unset; NULL: an answer is needed */
    enum init_kind kind;
    enum init_offer offer;
};

extern const struct init_question init_questions[];
extern const size_t init_question_count;

struct init {
    const struct config *config; /* what command line and environment say */
    struct signals *signals;
    char answers[INIT_QUESTIONS][INIT_ANSWER_BYTES]; /* by question; empty: unset */
    struct aws_client *client;
    struct config aws_config; /* of the client: the region that was answered */
    bool aws_refused;         /* once is enough */
};

/* The answer to a key, empty while there is none. */
const char *init_answer(const struct init *init, const char *key);
/* Whether it belongs to the chosen backend. */
bool init_applies(const struct init *init, const struct init_question *question);

/* Asks until an answer is right. Fails when the input ends, or for a signal. */
int init_ask(struct init *init, size_t index, struct error *err)
    __attribute__((warn_unused_result));

/* Appends what there is to choose from, one name after the other with ", " between; nothing when
 * AWS does not tell. Returns how many. */
size_t init_offer(struct init *init, enum init_offer offer, struct buffer *out);
void init_done(struct init *init);

/* "[Table]\nKey = value\n"; -1 without memory. */
int init_write_entry(struct buffer *out, const struct init_question *question, const char *answer)
    __attribute__((warn_unused_result));
int init_write_file(const struct init *init, struct buffer *out)
    __attribute__((warn_unused_result));

#endif
