/* SPDX-License-Identifier: MIT */
/*
 * shell_words.h - the words of a command line as one command for a POSIX shell.
 *
 * One word is shell text, as in "sh -c"; several are a program and its arguments, each quoted.
 * The buffer is the caller's, initialised with SHELL_WORDS_CEILING_BYTES. Errors: ERROR_USAGE.
 */
#ifndef BERTH_DRIVER_SHELL_WORDS_H
#define BERTH_DRIVER_SHELL_WORDS_H

#include "common/buffer.h"
#include "common/error.h"

#define SHELL_WORDS_CEILING_BYTES 131071 /* what "sh -c" takes as one argument */

/* Appends one word, quoted for a POSIX shell. -1: the buffer's ceiling. */
int shell_words_quote(struct buffer *command, const char *word) __attribute__((warn_unused_result));

int shell_words_join(struct buffer *command, int argc, char *const argv[], struct error *err)
    __attribute__((warn_unused_result));

#endif
