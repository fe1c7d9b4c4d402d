/* SPDX-License-Identifier: MIT */
#include "driver/registry/ecr_name.h"

#include "tests/unit/driver/rows.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void parses_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *region, *repository, *tag;
        bool is_digest;
    } rows[] = {
        {"a tag", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci:1", "eu-west-1", "ci", "1",
         false},
        {"no tag", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci", "eu-west-1", "ci", "latest",
         false},
        {"a path", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/ci/ruby:3.3-x_y", "eu-west-1",
         "team/ci/ruby", "3.3-x_y", false},
        {"a digest", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci@" DIGEST, "eu-west-1", "ci",
         DIGEST, true},
        {"tag and digest", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci:1@" DIGEST, "eu-west-1",
         "ci", DIGEST, true},
        {"FIPS", "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/ci:1", "us-gov-west-1",
         "ci", "1", false},
        {"China", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/ci:1", "cn-north-1", "ci", "1",
         false},
        {"isolated", "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov/ci:1", "us-iso-east-1", "ci",
         "1", false},
        {"sovereign", "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu/ci:1", "eusc-de-east-1",
         "ci", "1", false},
        {"dual stack", "123456789012.dkr-ecr.eu-west-1.on.aws/ci:1", "eu-west-1", "ci", "1", false},
        {"dual stack, FIPS", "123456789012.dkr-ecr-fips.us-east-1.on.aws/ci:1", "us-east-1", "ci",
         "1", false},
        {"dual stack, China", "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/ci:1",
         "cn-north-1", "ci", "1", false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ecr_name name = {0};
        if (ecr_name_parse(rows[i].text, &name) < 0 || strcmp(name.account, "123456789012") != 0 ||
            strcmp(name.region, rows[i].region) != 0 ||
            strcmp(name.repository, rows[i].repository) != 0 ||
            strcmp(name.tag, rows[i].tag) != 0 || name.is_digest != rows[i].is_digest) {
            fail_msg("%s: '%s' '%s' '%s' '%s'", rows[i].name, name.account, name.region,
                     name.repository, name.tag);
        }
    }
}

static void refuses_other_registries(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "ruby:3.3",
        "public.ecr.aws/docker/library/ruby:3.3",
        "registry.example.com/123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci:",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443/ci:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/ci:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn/ci:1",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com/ci:1",
        "123456789012.dkr.ecr.eu-west-1.on.aws/ci:1",
        "123456789012.dkr-ecr.eu-west-1.amazonaws.com/ci:1",
        "123456789012.dkr-ecr.us-iso-east-1.on.aws/ci:1",
        "123456789012.dkr.ecr..amazonaws.com/ci:1",
        "123456789012.dkr.ecr.-x.amazonaws.com/ci:1",
        "123456789012.dkr.ecr.EU-WEST-1.amazonaws.com/ci:1",
        "123456789012.dkr.ecrx.eu-west-1.amazonaws.com/ci:1",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com/ci:1",
        "1234567890123.dkr.ecr.eu-west-1.amazonaws.com/ci:1",
        "12345678901a.dkr.ecr.eu-west-1.amazonaws.com/ci:1",
        "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/ci:1",
    };
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        struct ecr_name name = {.repository = "untouched"};
        if (ecr_name_parse(texts[i], &name) == 0) {
            fail_msg("'%s' counts as an image in ECR", texts[i]);
        }
        assert_string_equal(name.repository, "untouched");
    }
}

static void refuses_a_repository_that_is_too_long(void **state)
{
    (void)state;
    static const char host[] = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/";
    char text[sizeof(host) + ECR_REPOSITORY_BYTES];
    struct ecr_name name;
    size_t length = strlen(host);
    memcpy(text, host, length);
    memset(text + length, 'a', ECR_REPOSITORY_BYTES);
    text[length + ECR_REPOSITORY_BYTES] = '\0';
    assert_int_equal(ecr_name_parse(text, &name), -1);
    text[length + ECR_REPOSITORY_BYTES - 1] = '\0';
    assert_int_equal(ecr_name_parse(text, &name), 0);
    assert_int_equal(strlen(name.repository), ECR_REPOSITORY_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_names),
        cmocka_unit_test(refuses_other_registries),
        cmocka_unit_test(refuses_a_repository_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
