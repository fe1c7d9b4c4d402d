/* SPDX-License-Identifier: MIT */
#include "driver/registry/name.h"

#include "tests/unit/driver/rows.h"

static void takes_names_apart(void **state)
{
    (void)state;
    static const char digest[] =
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const struct {
        const char *name, *text, *repository, *tag, *registry;
    } rows[] = {
        {"a name alone", "ruby", "ruby", "latest", "docker.io"},
        {"a tag", "ruby:3.3.0", "ruby", "3.3.0", "docker.io"},
        {"a path", "bitnami/redis:7", "bitnami/redis", "7", "docker.io"},
        {"a registry", "quay.io/a/b/c:x-1_2.3", "quay.io/a/b/c", "x-1_2.3", "quay.io"},
        {"a port", "r.example:5000/a:1", "r.example:5000/a", "1", "r.example:5000"},
        {"a port, no tag", "r.example:5000/a", "r.example:5000/a", "latest", "r.example:5000"},
        {"localhost", "localhost/a", "localhost/a", "latest", "localhost"},
        {"capitals", "R.Example:5000/a:B", "R.Example:5000/a", "B", "R.Example:5000"},
        {"a digest", "a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         "a/b", digest, "docker.io"},
        {"tag and digest",
         "a:9@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "a", digest,
         "docker.io"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct image_name name;
        if (image_name_parse(rows[i].text, &name) < 0 ||
            strcmp(name.repository, rows[i].repository) != 0 ||
            strcmp(name.tag, rows[i].tag) != 0 || strcmp(name.registry, rows[i].registry) != 0) {
            fail_msg("%s: '%s', '%s', '%s'", rows[i].name, name.repository, name.tag,
                     name.registry);
        }
    }
}

static void refuses_what_is_no_name(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "a:",
        "/a",
        "a/",
        "a//b",
        "a b",
        "a:b c",
        "-rm",
        ".a",
        "a?x=1",
        "a&b",
        "a%2f",
        "a\nb",
        "a:1:2/b",
        "a@sha256:1",
        "a@md5/x:0000",
        "a/b:5000/c:1",
        "a:t@",
        "@",
        "a#b",
        "\xc3\xa4",
        "..",
        "http://a",
        "a@b@c",
        "a:$(true)",
        "Ruby",
        "A/b",
        "r.example/A/b:1",
        "docker.io/A",
    };
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        struct image_name name = {.repository = "untouched"};
        if (image_name_parse(texts[i], &name) == 0) {
            fail_msg("'%s' counts as a name: '%s' '%s'", texts[i], name.repository, name.tag);
        }
        assert_string_equal(name.repository, "untouched");
    }
    char text[2 * IMAGE_NAME_BYTES];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct image_name name;
    assert_int_equal(image_name_parse(text, &name), -1);
}

static bool has_hint(const char *text)
{
    struct error err = {0};
    assert_int_equal(image_name_hint(text, &err), -1);
    return err.hint[0] != '\0';
}

static void finds_capitals(void **state)
{
    (void)state;
    assert_true(has_hint("r.example/Group/App:1"));
    assert_true(has_hint("Ruby"));
    assert_false(has_hint("R.example/app:V1"));
    assert_false(has_hint("Bad Name"));
}

static void matches_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *name, *pattern, *text;
        bool matches;
    } rows[] = {
        {"itself", "ruby:3.3", "ruby:3.3", true},
        {"another tag", "ruby:3.3", "ruby:3.4", false},
        {"a tag by star", "ruby:*", "ruby:3.3", true},
        {"no tag is latest", "ruby:*", "ruby", true},
        {"no tag is latest, as said", "ruby:latest", "ruby", true},
        {"no tag is no other tag", "ruby:3*", "ruby", false},
        {"a tagged one is not a bare pattern", "ruby", "ruby:3.3", false},
        {"a prefix alone", "ruby", "rubyevil", false},
        {"a star keeps out of paths", "r.example/*", "r.example/a/b:1", false},
        {"two stars do not", "r.example/**", "r.example/a/b:1", true},
        {"two stars in the middle", "r.example/**/app:*", "r.example/a/b/app:1", true},
        {"not past the registry", "*", "evil.example/ruby", false},
        {"everything", "**", "evil.example/a/b@sha256:0", true},
        {"a question mark", "ruby:3.?", "ruby:3.3", true},
        {"which is no slash", "a?b", "a/b", false},
        {"stars that go back", "a*b*c", "aXbYbZc", true},
        {"and do not find it", "a*b*c", "aXbYbZ", false},
        {"a star goes back within two", "**/a*c", "x/ab/abc", true},
        {"the end counts", "ruby:*-slim", "ruby:3.3-slim-evil", false},
        {"nothing for a star", "ruby*:1", "ruby:1", true},
        {"no digest by a tag", "ruby:3", "ruby@sha256:00", false},
        {"no digest by a tag beside it", "ruby:3.*", "ruby:3.3@sha256:00", false},
        {"nor by a star that is its own", "ruby*:3*", "ruby@sha256:30", false},
        {"all tags are all digests", "ruby:*", "ruby@sha256:00", true},
        {"with a tag beside it", "ruby:*", "ruby:3.3@sha256:00", true},
        {"all tags of another", "ruby:*", "node@sha256:00", false},
        {"a digest by a name without tags", "r.example:5000/*", "r.example:5000/a@sha256:00", true},
        {"but not past it", "r.example:5000/*", "r.example:5000/a/b@sha256:00", false},
        {"this digest alone", "ruby@sha256:00", "ruby:3.3@sha256:00", true},
        {"not that one", "ruby@sha256:00", "ruby@sha256:01", false},
        {"as it is written", "ruby:3.3@sha256:00", "ruby:3.3@sha256:00", true},
        {"case counts", "Ruby:*", "ruby:1", false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (image_name_matches(rows[i].pattern, rows[i].text) != rows[i].matches) {
            fail_msg("%s: '%s' and '%s'", rows[i].name, rows[i].pattern, rows[i].text);
        }
    }
}

static void is_allowed_by_any_pattern(void **state)
{
    (void)state;
    char first[] = "ruby:*";
    char second[] = "node:16";
    struct config_list patterns = {.entries = {first, second}, .count = 2};
    struct config_list none = {0};
    assert_true(image_name_allowed(&patterns, "node:16"));
    assert_true(image_name_allowed(&patterns, "ruby:1"));
    assert_false(image_name_allowed(&patterns, "node:18"));
    assert_false(image_name_allowed(&none, "ruby:1"));
}

/* An engine takes an unknown name for the beginning of an id. */
static void knows_what_may_be_an_id(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool may;
    } rows[] = {
        {"sha256:0123", true}, {"0123456789ab", true},   {"cafe", true},
        {"a", true},           {"cafe:latest", false},   {"cafe/a", false},
        {"ruby", false},       {"r/sha256:0123", false}, {"cafe@sha256:0", false},
        {"CAFE", false},       {"sha256", false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (image_name_may_be_id(rows[i].text) != rows[i].may) {
            fail_msg("'%s'", rows[i].text);
        }
    }
}

/* As GitLab Runner's SplitNameAndVersion names them. */
static void makes_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *text, *first, *second;
    } rows[] = {
        {"postgres:15", "postgres", ""},
        {"tutum/wordpress:latest", "tutum__wordpress", "tutum-wordpress"},
        {"r.example/a/b:1", "r.example__a__b", "r.example-a-b"},
        {"r.example:5000/a/b:1", "r.example__a__b", "r.example-a-b"},
        {"localhost:5000/a", "localhost__a", "localhost-a"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct image_name name;
        char aliases[2][IMAGE_ALIAS_BYTES];
        assert_int_equal(image_name_parse(rows[i].text, &name), 0);
        image_name_aliases(&name, aliases);
        assert_string_equal(aliases[0], rows[i].first);
        assert_string_equal(aliases[1], rows[i].second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_names_apart),
        cmocka_unit_test(refuses_what_is_no_name),
        cmocka_unit_test(finds_capitals),
        cmocka_unit_test(matches_patterns),
        cmocka_unit_test(is_allowed_by_any_pattern),
        cmocka_unit_test(knows_what_may_be_an_id),
        cmocka_unit_test(makes_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
