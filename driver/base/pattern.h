/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - the patterns of the Allowed... lists of the configuration.
 *
 * '*' matches any text without '/', '**' any text, '?' one character other than '/'. Everything
 * else matches itself. Characters with a meaning in other pattern languages are rejected, so that a
 * list never silently matches something other than intended.
 */
#ifndef BERTH_DRIVER_BASE_PATTERN_H
#define BERTH_DRIVER_BASE_PATTERN_H

#include <stdbool.h>

/* What to do about a character that is not allowed. */
#define PATTERN_HINT "use '*' for any text without '/', '**' for any text, '?' for one character"

bool pattern_matches(const char *pattern, const char *text);

/* The first character that is not allowed in a pattern; '\0': none. */
char pattern_bad_character(const char *pattern);

/* Whether a pattern of image names has a capital in their path and so matches none: only a
 * registry, a tag and a digest may have capitals. */
bool pattern_matches_no_image(const char *pattern);

/* Whether the pattern would match more as an fnmatch(3) pattern, whose '*' and '?' match '/' too,
 * when only texts that begin with 'prefix' contain a '/'. */
bool pattern_was_wider(const char *pattern, const char *prefix);

#endif
