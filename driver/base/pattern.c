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

static bool has_any(const char *begin, const char *end, const char *characters)
{
    return begin + strcspn(begin, characters) < end;
}

/* The tag or digest is in the last component, behind ':' or '@'; the registry is the first of
 * several and has a '.' or ':'. Wildcards may match these. */
static bool may_be_capital(const char *pattern, const char *at)
{
    const char *begin = at;
    const char *end = at + strcspn(at, "/");
    while (begin > pattern && begin[-1] != '/') {
        begin--;
    }
    bool in_last = *end == '\0' && has_any(begin, at, ":@*?");
    bool in_first = begin == pattern && (*end == '/' || strstr(at, "**") != NULL) &&
                    has_any(begin, end, ".:*?");
    return in_last || in_first;
}

bool pattern_matches_no_image(const char *pattern)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at >= 'A' && *at <= 'Z' && !may_be_capital(pattern, at)) {
            return true;
        }
    }
    return false;
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
