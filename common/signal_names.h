/* SPDX-License-Identifier: MIT */
/*
 * signal_names.h - signals by name, without "SIG" and in upper case.
 */
#ifndef BERTH_COMMON_SIGNAL_NAMES_H
#define BERTH_COMMON_SIGNAL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The signal with the first 'length' bytes as its name; 0: there is none. */
int signal_number(const char *name, size_t length);

/* NULL: a signal without a name here, such as a real-time signal. */
const char *signal_name(int number);

/* Whether RFC 4254, section 6.10, has a name for it. */
bool signal_is_in_ssh(int number);

#endif
