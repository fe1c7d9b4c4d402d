/* SPDX-License-Identifier: MIT */
#include "driver/base/pattern.h"

#include <string.h>

#include "tests/unit/driver/rows.h"

/* By definition, in exponential time. */
static bool oracle(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (pattern[0] == '*' && pattern[1] == '*') {
        return oracle(pattern + strspn(pattern, "*"), text) ||
               (*text != '\0' && oracle(pattern, text + 1));
    }
    if (*pattern == '*') {
        return oracle(pattern + 1, text) ||
               (*text != '\0' && *text != '/' && oracle(pattern, text + 1));
    }
    return *text != '\0' && (*pattern == *text || (*pattern == '?' && *text != '/')) &&
           oracle(pattern + 1, text + 1);
}

/* Text number 'number' of those with up to 'length' of the characters. */
static void spell(int number, int length, const char *characters, char *out)
{
    int base = (int)strlen(characters) + 1;
    for (int i = 0; i < length; i++, number /= base) {
        if (number % base > 0) {
            *out++ = characters[number % base - 1];
        }
    }
    *out = '\0';
}

static void matches_as_defined(void **state)
{
    (void)state;
    char pattern[8], text[8];
    int matched = 0;
    for (int i = 0; i < 4 * 4 * 4 * 4 * 4 * 4; i++) {
        spell(i, 6, "a/*", pattern);
        for (int k = 0; k < 3 * 3 * 3 * 3 * 3; k++) {
            spell(k, 5, "a/", text);
            bool matches = pattern_matches(pattern, text);
            if (matches != oracle(pattern, text)) {
                fail_msg("'%s' and '%s'", pattern, text);
            }
            matched += matches ? 1 : 0;
        }
    }
    assert_true(matched > 10000);
    assert_true(pattern_matches("a?c", "abc"));
    assert_false(pattern_matches("a?c", "a/c"));
    assert_false(pattern_matches("a?", "a"));
}

static void rejects_characters_of_other_pattern_languages(void **state)
{
    (void)state;
    assert_int_equal(pattern_bad_character("r.example:5000/**/a-b_c:*@sha256:?"), '\0');
    assert_int_equal(pattern_bad_character("ruby:3.[23]"), '[');
    assert_int_equal(pattern_bad_character("ruby]"), ']');
    assert_int_equal(pattern_bad_character("{ruby,node}:*"), '{');
    assert_int_equal(pattern_bad_character("a}"), '}');
    assert_int_equal(pattern_bad_character("a\\*"), '\\');
}

/* Names of images have no capital in their path. */
static void finds_patterns_without_an_image(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool none;
    } rows[] = {
        {"", false},
        {"**", false},
        {"ruby:*", false},
        {"Ruby:*", true},
        {"Ruby", true},
        {"ruBy:3", true},
        {"ruby:3-RC*", false},
        {"ruby*RC", false},
        {"ruby?RC", false},
        {"**RC", false},
        {"**/RC", true},
        {"ruby@sha256:AB", false},
        {"Group/**", true},
        {"Group/app", true},
        {"group/App:*", true},
        {"group/**/App", true},
        {"group/*App", false},
        {"group/*App/x", true},
        {"R.example/group/*", false},
        {"R.example/Group/*", true},
        {"Host:5000/app", false},
        {"Host*/app", false},
        {"*Host/app", false},
        {"*/Host.example/app", true},
        {"R.example**", false},
        {"R.example", true},
        {"R.example*", true},
        {"r.example:5000/App", true},
        {"r.example/app:V1/x", true},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (pattern_matches_no_image(rows[i].pattern) != rows[i].none) {
            fail_msg("'%s'", rows[i].pattern);
        }
    }
}

static void detects_patterns_that_were_wider(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool wider;
    } rows[] = {
        {"*", true},
        {"**", false},
        {"arn:aws:iam::1:role/*", true},
        {"arn:aws:iam::1:role/**", false},
        {"arn:aws:iam::1:role/**/a*", true},
        {"arn:aws:iam::1:role/a?", true},
        {"arn:aws:iam::1:role/one", false},
        {"ar*", true},
        {"ruby*-runner", false}, /* no ARN, so no '/' to match */
        {"1.4.*", false},
        {"***", false},
        {"", false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (pattern_was_wider(rows[i].pattern, "arn:") != rows[i].wider) {
            fail_msg("'%s'", rows[i].pattern);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_defined),
        cmocka_unit_test(rejects_characters_of_other_pattern_languages),
        cmocka_unit_test(finds_patterns_without_an_image),
        cmocka_unit_test(detects_patterns_that_were_wider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
