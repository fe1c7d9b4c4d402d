/* SPDX-License-Identifier: MIT */
/*
 * banned.h - functions that this code base does not use, as compile errors. Included before
 * every file by the build.
 */
#ifndef BERTH_BANNED_H
#define BERTH_BANNED_H

/* The headers that declare them come first, so that only uses are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No bound on what they write. */
#pragma GCC poison strcpy strcat vsprintf gets stpcpy
/* No way to tell an error from a value; parse.h instead. */
#pragma GCC poison atoi atol atoll sscanf
/* Static state or a surprising length rule. */
#pragma GCC poison strtok strncpy strncat tmpnam mktemp

#endif
