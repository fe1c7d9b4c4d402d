/* SPDX-License-Identifier: MIT */
/*
 * nearest.h - the known word closest to a misspelt one, for "did you mean 'X'?".
 *
 * A caller starts with nearest_begin(), passes each known word to nearest_try(), and reads the
 * result. The distance is that of Damerau and Levenshtein (insert, delete, substitute, transpose
 * two neighbours), ignoring case; words too far apart are not suggested, except one that begins
 * with the misspelt word. The struct keeps pointers to the caller's words and owns nothing.
 */
#ifndef BERTH_COMMON_NEAREST_H
#define BERTH_COMMON_NEAREST_H

#include <stddef.h>

#include "common/error.h"

struct nearest {
    const char *word;
    const char *best; /* NULL: no word is close enough */
    size_t distance;  /* of 'best' */
};

struct nearest nearest_begin(const char *word);
/* The first of several words at the same distance wins. */
void nearest_try(struct nearest *nearest, const char *candidate);
/* Makes "did you mean 'X'?" the error's hint, if a word is close enough. Returns -1. */
int nearest_hint(const struct nearest *nearest, struct error *err);

#endif
