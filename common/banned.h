/* SPDX-License-Identifier: MIT */
/*
 * banned.h - makes functions that Berth does not use compile errors. The build includes it first in
 * every file.
 */
#ifndef BERTH_COMMON_BANNED_H
#define BERTH_COMMON_BANNED_H

/* The headers that declare them come first, so that only calls are errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* They write without a bound. */
#pragma GCC poison strcpy strcat vsprintf gets stpcpy
/* They do not report errors; use parse.h. */
#pragma GCC poison atoi atol atoll sscanf
/* Static state or a surprising length rule. */
#pragma GCC poison strtok strncpy strncat tmpnam mktemp

#endif
