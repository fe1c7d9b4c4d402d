/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/platforms.h"

#include "tests/unit/driver/rows.h"

static cJSON *read_index(const char *text, struct platforms *out)
{
    cJSON *manifest = cJSON_Parse(text);
    assert_non_null(manifest);
    assert_true(platforms_read_index(manifest, out));
    return manifest;
}

static void reads_platforms_of_an_index(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *written;
        bool open;
    } rows[] = {
        {"none", "{\"manifests\": []}", "", false},
        {"two",
         "{\"manifests\": [{\"platform\": {\"os\": \"linux\", \"architecture\": \"amd64\"}},"
         "{\"platform\": {\"os\": \"linux\", \"architecture\": \"arm64\", \"variant\": \"v8\"}}]}",
         "linux/amd64, linux/arm64", false},
        {"variants are one",
         "{\"manifests\": [{\"platform\": {\"os\": \"linux\", \"architecture\": \"arm\"}},"
         "{\"platform\": {\"os\": \"linux\", \"architecture\": \"arm\", \"variant\": \"v6\"}}]}",
         "linux/arm", false},
        {"attestations do not count",
         "{\"manifests\": [{\"platform\": {\"os\": \"unknown\", \"architecture\": \"unknown\"}}]}",
         "", false},
        {"no platform", "{\"manifests\": [{}, 1, null]}", "", true},
        {"of another type",
         "{\"manifests\": [{\"platform\": {\"os\": 1, \"architecture\": \"a\"}}]}", "", true},
        {"too long",
         "{\"manifests\": [{\"platform\": {\"os\": \"linux\", \"architecture\": "
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}]}",
         "", true},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct platforms platforms = {0};
        char written[128];
        cJSON *manifest = read_index(rows[i].text, &platforms);
        platforms_write(&platforms, written, sizeof(written));
        if (strcmp(written, rows[i].written) != 0 || platforms.open != rows[i].open) {
            fail_msg("%s: '%s', %d", rows[i].name, written, platforms.open);
        }
        cJSON_Delete(manifest);
    }
}

static void keeps_no_more_than_the_ceiling(void **state)
{
    (void)state;
    char text[8192] = "{\"manifests\": [";
    char written[64];
    struct platforms platforms = {0};
    size_t length = strlen(text);
    for (int i = 0; i <= PLATFORMS_CEILING; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length,
                                   "%s{\"platform\": {\"os\": \"x%d\", \"architecture\": \"y\"}}",
                                   i > 0 ? "," : "", i);
    }
    (void)snprintf(text + length, sizeof(text) - length, "]}");
    cJSON *manifest = read_index(text, &platforms);
    assert_int_equal(platforms.count, PLATFORMS_CEILING);
    assert_true(platforms.open);
    assert_true(platforms_have(&platforms, "x31/y") && !platforms_have(&platforms, "x32/y"));
    platforms_write(&platforms, written, sizeof(written));
    assert_int_equal(strlen(written), sizeof(written) - 1);
    cJSON_Delete(manifest);
}

static void finds_the_configuration_of_one_image(void **state)
{
    (void)state;
    static const char good[] =
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char *const bad[] = {
        "",
        "sha256:",
        "sha256:0",
        "sha256:../../../../../../../../x",
        "sha512:0123",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
    };
    cJSON *manifest = cJSON_CreateObject();
    cJSON *config = cJSON_AddObjectToObject(manifest, "config");
    struct platforms platforms = {0};
    assert_false(platforms_read_index(manifest, &platforms));
    assert_null(platforms_config_digest(NULL));
    assert_null(platforms_config_digest(manifest));
    for (size_t i = 0; i < ROW_COUNT(bad); i++) {
        cJSON_DeleteItemFromObject(config, "digest");
        assert_non_null(cJSON_AddStringToObject(config, "digest", bad[i]));
        assert_null(platforms_config_digest(manifest));
    }
    cJSON_DeleteItemFromObject(config, "digest");
    assert_non_null(cJSON_AddStringToObject(config, "digest", good));
    assert_string_equal(platforms_config_digest(manifest), good);
    cJSON_Delete(manifest);
    manifest = cJSON_Parse("{\"os\": \"linux\", \"architecture\": \"arm64\"}");
    platforms_read_config(manifest, &platforms);
    assert_true(platforms_have(&platforms, "linux/arm64") && !platforms.open);
    platforms_read_config(NULL, &platforms);
    assert_true(platforms.open);
    cJSON_Delete(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_platforms_of_an_index),
        cmocka_unit_test(keeps_no_more_than_the_ceiling),
        cmocka_unit_test(finds_the_configuration_of_one_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
