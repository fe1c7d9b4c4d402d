/* SPDX-License-Identifier: MIT */
/*
 * signal_map.h - values of --rewrite and --remap-exit, as tini and dumb-init take them.
 *
 * Lists are separated by commas; NULL is an empty list. Nothing here allocates.
 */
#ifndef BERTH_AGENT_SIGNAL_MAP_H
#define BERTH_AGENT_SIGNAL_MAP_H

#include <stdbool.h>

/* The number of "15", "TERM" or "SIGTERM", in upper or lower case. False: no such signal. */
bool signal_map_parse_signal(const char *text, int *out_number);

/* Whether every entry is "FROM:TO"; TO may be 0. */
bool signal_map_is_valid(const char *pairs);

/* The signal to forward for a signal; 0: none. Without a matching pair, the signal itself. */
int signal_map_signal(const char *pairs, int number);

/* Whether every entry is an exit code from 0 to 255, and whether 'code' is one of them. */
bool signal_map_codes_are_valid(const char *codes);
bool signal_map_has_code(const char *codes, int code);

#endif
