/* SPDX-License-Identifier: MIT */
#include "driver/registry/challenge.h"

#include "tests/unit/driver/rows.h"

static void parses_headers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header;
        enum challenge_scheme scheme;
        const char *realm, *service;
    } rows[] = {
        {"Docker Hub",
         "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
         "scope=\"repository:library/node:pull\"",
         CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io"},
        {"ECR", "Basic realm=\"https://1.dkr.ecr.eu-west-1.amazonaws.com/\",service=\"ecr\"",
         CHALLENGE_BASIC, "https://1.dkr.ecr.eu-west-1.amazonaws.com/", "ecr"},
        {"any case", "bEARER REALM=\"r\"", CHALLENGE_BEARER, "r", ""},
        {"blanks", "  Bearer   realm = \"r\" ,\tservice\t=\t\"s\"  ", CHALLENGE_BEARER, "r", "s"},
        {"tokens", "Bearer realm=r,service=s", CHALLENGE_BEARER, "r", "s"},
        {"escapes", "Bearer realm=\"a\\\"b\\\\c\"", CHALLENGE_BEARER, "a\"b\\c", ""},
        {"commas in texts", "Bearer realm=\"a,b\",scope=\"x,y\",service=\"s\"", CHALLENGE_BEARER,
         "a,b", "s"},
        {"empty elements", ",,Bearer realm=\"r\",,service=\"s\",", CHALLENGE_BEARER, "r", "s"},
        {"Basic before Bearer", "Basic realm=\"b\", Bearer realm=\"r\"", CHALLENGE_BEARER, "r", ""},
        {"Bearer before Basic", "Bearer realm=\"r\",service=\"s\", Basic realm=\"b\"",
         CHALLENGE_BEARER, "r", "s"},
        {"the first of two", "Bearer realm=\"1\", Bearer realm=\"2\"", CHALLENGE_BEARER, "1", ""},
        {"others", "Negotiate, Basic realm=\"b\"", CHALLENGE_BASIC, "b", ""},
        {"an unknown scheme with parameters", "Digest realm=\"d\", nonce=\"n\", Basic realm=\"b\"",
         CHALLENGE_BASIC, "b", ""},
        {"Basic alone", "Basic", CHALLENGE_BASIC, "", ""},
        {"Bearer without a realm", "Bearer service=\"s\"", CHALLENGE_NONE, "", ""},
        {"Bearer without a realm, then Basic", "Bearer service=\"s\", Basic realm=\"b\"",
         CHALLENGE_BASIC, "b", ""},
        {"an open quote", "Bearer realm=\"r", CHALLENGE_NONE, "", ""},
        {"an open escape", "Bearer realm=\"r\\", CHALLENGE_NONE, "", ""},
        {"no value", "Bearer realm=", CHALLENGE_NONE, "", ""},
        {"text behind a value", "Bearer realm=\"r\"x", CHALLENGE_NONE, "", ""},
        {"a control character", "Bearer realm=\"r\001\"", CHALLENGE_NONE, "", ""},
        {"a good one, then a bad one", "Basic realm=\"b\", Bearer realm=\"r", CHALLENGE_BASIC, "b",
         ""},
        {"empty", "", CHALLENGE_NONE, "", ""},
        {"punctuation", "=,=\"\"", CHALLENGE_NONE, "", ""},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct challenge challenge;
        challenge_parse(rows[i].header, &challenge);
        if (challenge.scheme != rows[i].scheme || strcmp(challenge.realm, rows[i].realm) != 0 ||
            strcmp(challenge.service, rows[i].service) != 0) {
            fail_msg("%s: %d '%s' '%s'", rows[i].name, (int)challenge.scheme, challenge.realm,
                     challenge.service);
        }
    }
}

static void ignores_what_is_too_long(void **state)
{
    (void)state;
    char header[CHALLENGE_HEADER_BYTES];
    struct challenge challenge;
    (void)snprintf(header, sizeof(header), "Bearer realm=\"%01023d\"", 0);
    challenge_parse(header, &challenge);
    assert_int_equal(challenge.scheme, CHALLENGE_BEARER);
    assert_int_equal(strlen(challenge.realm), CHALLENGE_REALM_BYTES - 1);
    (void)snprintf(header, sizeof(header), "Bearer realm=\"%01024d\"", 0);
    challenge_parse(header, &challenge);
    assert_int_equal(challenge.scheme, CHALLENGE_NONE);
    (void)snprintf(header, sizeof(header), "Bearer realm=\"r\",service=\"%0256d\"", 0);
    challenge_parse(header, &challenge);
    assert_int_equal(challenge.scheme, CHALLENGE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_headers),
        cmocka_unit_test(ignores_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
