/* SPDX-License-Identifier: MIT */
#include "common/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define PREFIX_LEAST 3 /* letters of a word that others begin with */

/* Longer than any key, option or command: a longer word cannot be close to one. */
#define WORD_CEILING_BYTES 48

struct nearest nearest_begin(const char *word)
{
    /* One mistake in a short word, up to three in a long one. */
    size_t length = strlen(word);
    size_t limit = length < 4 ? 1 : length < 8 ? 2 : 3;
    return (struct nearest){.word = word, .distance = limit + 1};
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Optimal string alignment, three rows at a time. */
static size_t distance_of(const char *from, size_t from_length, const char *to, size_t to_length)
{
    size_t rows[3][WORD_CEILING_BYTES + 1];
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= to_length; j++) {
        last[j] = j;
    }
    for (size_t i = 1; i <= from_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= to_length; j++) {
            size_t replaced = last[j - 1] + (same(from[i - 1], to[j - 1]) ? 0 : 1);
            row[j] = least(last[j] + 1, row[j - 1] + 1, replaced);
            bool exchanged =
                i > 1 && j > 1 && same(from[i - 1], to[j - 2]) && same(from[i - 2], to[j - 1]);
            if (exchanged && before[j - 2] + 1 < row[j]) {
                row[j] = before[j - 2] + 1;
            }
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[to_length];
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
    size_t word_length = strlen(nearest->word);
    size_t length = strlen(candidate);
    if (word_length > WORD_CEILING_BYTES || length > WORD_CEILING_BYTES) {
        return;
    }
    bool begins = word_length >= PREFIX_LEAST && word_length < length &&
                  strncasecmp(nearest->word, candidate, word_length) == 0;
    size_t distance = distance_of(nearest->word, word_length, candidate, length);
    if (begins && nearest->best == NULL && distance >= nearest->distance) {
        distance = nearest->distance - 1; /* any closer word is preferred */
    }
    /* Not close if every letter differs, however short the word. */
    if (distance < nearest->distance && distance < length) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}

int nearest_hint(const struct nearest *nearest, struct error *err)
{
    return nearest->best == NULL ? -1 : error_hint(err, "did you mean '%s'?", nearest->best);
}
