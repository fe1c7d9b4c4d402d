/* SPDX-License-Identifier: MIT */
#include "driver/backend/helper_image.h"

#include "tests/unit/driver/rows.h"

#define GITLAB "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:"

static void names_the_image(void **state)
{
    (void)state;
    char plain[] = "own/helper:1", with[] = "own/h:v$CI_RUNNER_VERSION-x",
         braces[] = "own/h:${CI_RUNNER_VERSION}", other[] = "own/h:$CI_JOB_ID";
    const struct {
        char *configured;
        const char *version, *processor, *image; /* NULL: refused */
    } rows[] = {
        {NULL, "19.4.0", "amd64", GITLAB "x86_64-v19.4.0"},
        {NULL, "19.4.0", "arm64", GITLAB "arm64-v19.4.0"},
        {NULL, "19.4.0", "s390x", NULL},
        {NULL, "", "amd64", NULL},
        {NULL, "19.4", "amd64", NULL},
        {NULL, "19.4.0.1", "amd64", NULL},
        {NULL, "19.4.0~beta.1", "amd64", NULL},
        {NULL, "19.4.0/x:latest", "amd64", NULL},
        {NULL, "1234567.4.0", "amd64", NULL},
        {plain, "anything", "amd64", "own/helper:1"},
        {with, "19.4.0", "amd64", "own/h:v19.4.0-x"},
        {with, "19.4.0-evil", "amd64", NULL},
        {braces, "19.4.0", "amd64", "own/h:19.4.0"},
        {other, "19.4.0", "amd64", "own/h:$CI_JOB_ID"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config = {.helper = {.image = rows[i].configured}};
        char name[HELPER_IMAGE_BYTES];
        struct error err = {0};
        assert_int_equal(setenv("CUSTOM_ENV_CI_RUNNER_VERSION", rows[i].version, 1), 0);
        int result = helper_image_name(&config, rows[i].processor, name, &err);
        if (rows[i].image == NULL) {
            assert_int_equal(result, -1);
            assert_int_equal(err.kind, ERROR_USAGE);
        } else {
            assert_int_equal(result, 0);
            assert_string_equal(name, rows[i].image);
        }
    }
}

static void a_long_name_is_refused(void **state)
{
    (void)state;
    char text[HELPER_IMAGE_BYTES + 1];
    char name[HELPER_IMAGE_BYTES];
    struct error err;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct config config = {.helper = {.image = text}};
    assert_int_equal(helper_image_name(&config, "amd64", name, &err), -1);
    text[HELPER_IMAGE_BYTES - 1] = '\0';
    assert_int_equal(helper_image_name(&config, "amd64", name, &err), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_image),
        cmocka_unit_test(a_long_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
