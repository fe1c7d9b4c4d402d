/* SPDX-License-Identifier: MIT */
#include "driver/base/pattern.h"

#include <stddef.h>
#include <string.h>

/* With one place to go back to per kind of star, so the time is bounded by the product of the two
 * lengths; a later star makes an earlier one's place needless. */
bool pattern_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *star_text = NULL;   /* after the last '*', no '/' swallowed */
    const char *stars = NULL, *stars_text = NULL; /* after the last '**' */
    for (;;) {
        if (pattern[0] == '*' && pattern[1] == '*') {
            pattern += strspn(pattern, "*");
            stars = pattern;
            stars_text = text;
            star = NULL;
        } else if (pattern[0] == '*') {
            star = ++pattern;
            star_text = text;
        } else if (*text == '\0' && *pattern == '\0') {
            return true;
        } else if (*text != '\0' && (*pattern == *text || (*pattern == '?' && *text != '/'))) {
            pattern++;
            text++;
        } else if (star != NULL && *star_text != '\0' && *star_text != '/') {
            text = ++star_text;
            pattern = star;
        } else if (stars != NULL && *stars_text != '\0') {
            star = NULL;
            text = ++stars_text;
            pattern = stars;
        } else {
            return false;
        }
    }
}

char pattern_bad_character(const char *pattern)
{
    return pattern[strcspn(pattern, "[]{}\\")];
}

bool pattern_was_wider(const char *pattern, const char *prefix)
{
    size_t literal = strcspn(pattern, "*?");
    size_t length = strlen(prefix);
    if (strncmp(pattern, prefix, literal < length ? literal : length) != 0) {
        return false;
    }
    for (const char *at = pattern + literal; *at != '\0';) {
        size_t stars = strspn(at, "*");
        if (stars == 1 || *at == '?') {
            return true;
        }
        at += stars > 0 ? stars : 1;
    }
    return false;
}
