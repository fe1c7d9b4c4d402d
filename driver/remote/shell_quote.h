/* SPDX-License-Identifier: MIT */
/*
 * shell_quote.h - quotes a command line for a POSIX shell, or shell text for any login shell.
 *
 * The caller initialises the buffer with SHELL_QUOTE_CEILING_BYTES, or with SHELL_QUOTE_LOGIN_BYTES
 * for shell_quote_for_login(). Errors: ERROR_USAGE.
 */
#ifndef BERTH_DRIVER_REMOTE_SHELL_QUOTE_H
#define BERTH_DRIVER_REMOTE_SHELL_QUOTE_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/error.h"

#define SHELL_QUOTE_CEILING_BYTES 131071 /* the kernel's limit for one argument */
#define SHELL_QUOTE_LOGIN_BYTES   (5 * SHELL_QUOTE_CEILING_BYTES + 1024)

/* Appends one word, quoted for a POSIX shell. -1: the buffer's ceiling. */
int shell_quote_word(struct buffer *command, const char *word) __attribute__((warn_unused_result));

int shell_quote_join(struct buffer *command, int argc, char *const argv[], struct error *err)
    __attribute__((warn_unused_result));

/* Appends a command that sh, bash, zsh, fish and tcsh understand alike, and that runs the POSIX
 * shell text in bash, else in sh. It unsets SSH_CLIENT, which makes bash read ~/.bashrc. With
 * 'input_fd_3' the text finds its input on descriptor 3, and standard input is /dev/null. -1: the
 * buffer's ceiling. */
int shell_quote_for_login(struct buffer *command, const char *text, bool input_fd_3)
    __attribute__((warn_unused_result));

#endif
