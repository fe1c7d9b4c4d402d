/* SPDX-License-Identifier: MIT */
/*
 * rewrite.h - the small languages of tini's and dumb-init's options: signals, pairs, exit codes.
 *
 * Lists have commas between. NULL stands for an empty list. No memory, no errors but false.
 */
#ifndef BERTH_AGENT_INIT_REWRITE_H
#define BERTH_AGENT_INIT_REWRITE_H

#include <stdbool.h>

/* "15", "TERM" or "SIGTERM", in any case, to the number. False: no such signal. */
bool rewrite_parse_signal(const char *text, int *out_number);

/* Whether every word is "FROM:TO"; TO may be 0. */
bool rewrite_is_valid(const char *pairs);

/* What to send for a signal; 0: nothing. Without a pair, the signal itself. */
int rewrite_signal(const char *pairs, int number);

/* Whether every word is an exit code from 0 to 255; and whether 'code' is one of them. */
bool rewrite_codes_are_valid(const char *codes);
bool rewrite_has_code(const char *codes, int code);

#endif
