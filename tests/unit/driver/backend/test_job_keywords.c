/* SPDX-License-Identifier: MIT */
/* What a job's texts become before they are compared with anything: variables and platforms. */
#include "driver/backend/job_variables.h"
#include "driver/base/json.h"
#include "driver/registry/platform.h"

#include "tests/unit/driver/rows.h"

/* Expected values: os.Expand() of Go with the look-up of common/spec/variables.go. */
static void expands_as_the_runner(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expanded;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"$A", "one"},
        {"${A}", "one"},
        {"x$A-$A.y", "xone-one.y"},
        {"$AB", ""},
        {"${A}B", "oneB"},
        {"$$A", "$A"},
        {"$$$A", "$one"},
        {"${$}A", "$A"},
        {"$", "$"},
        {"a$", "a$"},
        {"$$", "$"},
        {"$.x", "$.x"},
        {"${}x", "x"},
        {"${A", "A"},
        {"${A.B}", ""},
        {"$1x", "x"},
        {"${*}$@$#$?$!x", "x"},
        {"$-x", "x"},
        {"$B", "$A"}, /* once: a value's own variables were expanded by the runner */
        {"$OWN", "own $A"},
        {"$BOTH", "the service's"},
        {"$LAST", "last"},
        {"$FILE", "/tmp/p/FILE"},
        {"$EMPTY|", "|"},
    };
    cJSON *own = cJSON_Parse("[{\"key\":\"OWN\",\"value\":\"own $A\"},"
                             "{\"key\":\"BOTH\",\"value\":\"the service's\"},"
                             "{\"key\":\"LAST\",\"value\":\"first\"},"
                             "{\"key\":\"LAST\",\"value\":\"last\"}]");
    cJSON *response = cJSON_Parse("{\"variables\":[{\"key\":\"FILE\",\"value\":\"x\",\"file\":true}"
                                  "]}");
    struct job_variables variables = {.own = own, .response = response};
    (void)setenv("CUSTOM_ENV_A", "one", 1);
    (void)setenv("CUSTOM_ENV_B", "$A", 1);
    (void)setenv("CUSTOM_ENV_BOTH", "the job's", 1);
    (void)setenv("CUSTOM_ENV_FILE", "secret content", 1);
    (void)setenv("CUSTOM_ENV_EMPTY", "", 1);
    (void)setenv("CUSTOM_ENV_1", "no", 1);
    (void)setenv("CUSTOM_ENV_RUNNER_TEMP_PROJECT_DIR", "/tmp/p", 1);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct error err = {0};
        char *text = job_variables_expand(&variables, rows[i].text, &err);
        assert_non_null(text);
        if (strcmp(text, rows[i].expanded) != 0) {
            fail_msg("'%s': '%s'", rows[i].text, text);
        }
        free(text);
    }
    cJSON_Delete(own);
    cJSON_Delete(response);
}

/* A few bytes cannot become any number of bytes. */
static void expansion_has_a_ceiling(void **state)
{
    (void)state;
    size_t length = JOB_EXPANDED_CEILING_BYTES / 2;
    char *text = malloc(2 * length + 3);
    char *value = malloc(length + 1);
    memset(value, 'v', length);
    value[length] = '\0';
    (void)setenv("CUSTOM_ENV_V", value, 1);
    (void)snprintf(text, 2 * length, "$V$V$V");
    struct error err = {0};
    struct job_variables variables = {0};
    assert_null(job_variables_expand(&variables, text, &err));
    assert_int_equal(err.kind, ERROR_USAGE);
    (void)unsetenv("CUSTOM_ENV_V");
    free(text);
    free(value);
}

static void finds_masked_values(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text, *name;
    } rows[] = {
        {"$PASSWORD", "secret", "PASSWORD"},
        {"$B", "x-secret-x", "PASSWORD"},
        {"secret", "secret", NULL}, /* its author wrote it */
        {"secret/$B", "secret/secret", "PASSWORD"},
        {"$PUBLIC", "shown", NULL},
        {"$SHORT", "abc", NULL},
        {"$FILE", "/tmp/p/FILE", NULL},
        {"", "", NULL},
    };
    cJSON *response = cJSON_Parse("{\"variables\":[{\"key\":\"PASSWORD\",\"masked\":true},"
                                  "{\"key\":\"SHORT\",\"masked\":true},"
                                  "{\"key\":\"FILE\",\"masked\":true,\"file\":true},"
                                  "{\"key\":\"UNSET\",\"masked\":true},"
                                  "{\"key\":\"PUBLIC\",\"masked\":false}]}");
    (void)setenv("CUSTOM_ENV_PASSWORD", "secret", 1);
    (void)setenv("CUSTOM_ENV_SHORT", "abc", 1);
    (void)setenv("CUSTOM_ENV_FILE", "/tmp/p/FILE", 1);
    (void)setenv("CUSTOM_ENV_PUBLIC", "shown", 1);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const char *name = job_variables_masked(response, rows[i].raw, rows[i].text);
        if ((name == NULL) != (rows[i].name == NULL) ||
            (name != NULL && strcmp(name, rows[i].name) != 0)) {
            fail_msg("'%s' of '%s': %s", rows[i].text, rows[i].raw, name == NULL ? "none" : name);
        }
    }
    assert_null(job_variables_masked(NULL, "", "secret"));
    cJSON_Delete(response);
}

static void sets_a_variable_once(void **state)
{
    (void)state;
    bool ok = true;
    cJSON *list = cJSON_CreateArray();
    job_variables_set(list, "A", "1", &ok);
    job_variables_set(list, "AB", "2", &ok);
    job_variables_set(list, "A", "3", &ok);
    char *text = cJSON_PrintUnformatted(list);
    assert_string_equal(text, "[\"AB=2\",\"A=3\"]");
    assert_true(ok);
    cJSON_free(text);
    cJSON_Delete(list);
}

static void reads_platforms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *normal;
    } rows[] = {
        {"linux/amd64", "linux/amd64"},
        {"Linux/AMD64", "linux/amd64"},
        {"x86_64", "linux/amd64"},
        {"amd64/v2", "amd64/v2"}, /* an operating system of that name, which no engine has */
        {"linux/amd64/v1", "linux/amd64"},
        {"linux/amd64/v2", "linux/amd64/v2"},
        {"aarch64", "linux/arm64"},
        {"linux/arm64/v8", "linux/arm64"},
        {"linux/arm64/8", "linux/arm64"},
        {"linux/armhf", "linux/arm/v7"},
        {"linux/arm/6", "linux/arm/v6"},
        {"linux", "linux"},
        {"windows/amd64", "windows/amd64"},
        {"", NULL},
        {"/", NULL},
        {"linux/", NULL},
        {"linux//v8", NULL},
        {"linux/arm64/v8/x", NULL},
        {"linux/a*", NULL},
        {"linux amd64", NULL},
        {"linux/0123456789012345678901234567890123456789", NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct image_platform platform;
        char text[IMAGE_PLATFORM_BYTES] = "";
        bool good = image_platform_parse(rows[i].text, &platform) == 0;
        if (good) {
            image_platform_text(&platform, text);
        }
        if (good != (rows[i].normal != NULL) || (good && strcmp(text, rows[i].normal) != 0)) {
            fail_msg("'%s': '%s'", rows[i].text, text);
        }
    }
}

static void the_port_of_a_health_check(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint16_t port;
    } rows[] = {
        {"[]", 0},
        {"[\"PORT=1\",\"HEALTHCHECK_TCP_PORT=80\"]", 80},
        {"[\"healthcheck_tcp_PORT=65535\"]", 65535},
        {"[\"HEALTHCHECK_TCP_PORTS=80\",\"HEALTHCHECK_TCP_POR=80\",\"HEALTHCHECK_TCP_PORT\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT=1\",\"healthcheck_tcp_port=2\"]", 1},
        {"[\"HEALTHCHECK_TCP_PORT=x\",\"healthcheck_tcp_port=2\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT=\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT=0\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT=65536\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT=80x\"]", 0},
        {"[\"HEALTHCHECK_TCP_PORT= 80\"]", 0},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        cJSON *list = cJSON_Parse(rows[i].list);
        if (job_variables_health_port(list, "db") != rows[i].port) {
            fail_msg("%s", rows[i].list);
        }
        cJSON_Delete(list);
    }
    assert_int_equal(job_variables_health_port(NULL, "db"), 0);
}

static bool fits(const char *wanted, const char *there)
{
    struct image_platform a = {0}, b = {0};
    assert_int_equal(image_platform_parse(wanted, &a), 0);
    assert_int_equal(image_platform_parse(there, &b), 0);
    return image_platform_fits(&a, &b);
}

static void compares_platforms(void **state)
{
    (void)state;
    assert_true(fits("linux/arm64", "linux/arm64/v8"));
    assert_true(fits("linux", "linux/arm64"));
    assert_true(fits("linux/arm", "linux/arm/v7"));
    assert_false(fits("linux/arm/v6", "linux/arm/v7"));
    assert_false(fits("linux/amd64", "linux/arm64"));
    assert_false(fits("windows/amd64", "linux/amd64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expands_as_the_runner),
        cmocka_unit_test(expansion_has_a_ceiling),
        cmocka_unit_test(finds_masked_values),
        cmocka_unit_test(sets_a_variable_once),
        cmocka_unit_test(reads_platforms),
        cmocka_unit_test(compares_platforms),
        cmocka_unit_test(the_port_of_a_health_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
