/* SPDX-License-Identifier: MIT */
/*
 * words.h - a command line or section head of AWS's files, split into words as a POSIX shell quotes
 * them; nothing else of a shell.
 */
#ifndef BERTH_DRIVER_AWS_WORDS_H
#define BERTH_DRIVER_AWS_WORDS_H

#include <stddef.h>

#define AWS_WORD_CEILING  64
#define AWS_COMMAND_BYTES 4096

struct aws_words {
    char text[AWS_COMMAND_BYTES];
    char *word[AWS_WORD_CEILING + 1]; /* into 'text'; NULL behind the last */
    size_t count;
};

/* -1: too long, too many words, none, or a quote or backslash without end. */
int aws_words_split(const char *command, struct aws_words *words)
    __attribute__((warn_unused_result));

#endif
