/* SPDX-License-Identifier: MIT */
/* Services of ECS: what a look-up of their images decides, ports, overrides; and the store. */
#include "common/buffer.h"
#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/ecs/services.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/json.h"

#include "tests/unit/driver/rows.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a registry says about the image of that name: entrypoint, command and ports by its words. */
static int look_up(void *context, const char *name, bool is_needed, struct image_choice *out_choice,
                   struct error *err)
{
    (void)context;
    (void)is_needed;
    (void)err;
    *out_choice = (struct image_choice){.known = strstr(name, "unknown") == NULL};
    (void)snprintf(out_choice->image, sizeof(out_choice->image), "rewritten/%s", name);
    bool bare = strstr(name, "bare") != NULL;
    out_choice->facts.entrypoint = cJSON_Parse(bare ? "[]" : "[\"entry.sh\"]");
    out_choice->facts.command = cJSON_Parse(bare ? "[]" : "[\"serve\"]");
    out_choice->facts.ports[0] = 5432;
    out_choice->facts.ports[1] = strstr(name, "helper") != NULL ? 22123 : 8080;
    out_choice->facts.port_count = strstr(name, "two") != NULL ? 2 : 1;
    return 0;
}

static int read_services(const char *text, const char *response, struct ecs_services *services,
                         struct error *err)
{
    static struct config config;
    cJSON *job = response == NULL ? NULL : cJSON_Parse(response);
    static cJSON *list; /* 'services' points into it */
    cJSON_Delete(list);
    list = text == NULL ? NULL : cJSON_Parse(text);
    config.fargate.job_port = 22122;
    config.fargate.helper_port = 22123;
    const struct ecs_services_input input = {.config = &config,
                                             .services = list,
                                             .response = job,
                                             .with_helper = true,
                                             .choose = look_up};
    int result = ecs_services_read(services, &input, err);
    cJSON_Delete(job);
    return result;
}

static void the_words_of_a_service(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *words;
        bool wrapped;
    } rows[] = {
        {"of the image", "[{\"name\":\"db\"}]", "[\"entry.sh\",\"serve\"]", true},
        {"command", "[{\"name\":\"db\",\"command\":[\"x\"]}]", "[\"entry.sh\",\"x\"]", true},
        {"entrypoint", "[{\"name\":\"db\",\"entrypoint\":[\"e\"]}]", "[\"e\"]", true},
        {"both", "[{\"name\":\"db\",\"entrypoint\":[\"e\"],\"command\":[\"x\"]}]", "[\"e\",\"x\"]",
         true},
        {"both, not looked up",
         "[{\"name\":\"unknown\",\"entrypoint\":[\"e\"],\"command\":[\"x\"]}]", "[\"e\",\"x\"]",
         true},
        {"not looked up", "[{\"name\":\"unknown\",\"command\":[\"x\"]}]", NULL, false},
        {"an image without words", "[{\"name\":\"bare\"}]", "[]", false},
        {"no entrypoint", "[{\"name\":\"db\",\"entrypoint\":[\"\"],\"command\":[\"x\"]}]",
         "[\"x\"]", true},
        {"an empty program", "[{\"name\":\"db\",\"entrypoint\":[\"\",\"e\"],\"command\":[\"x\"]}]",
         "[\"x\"]", true},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ecs_services services;
        struct error err = {0};
        assert_int_equal(read_services(rows[i].text, NULL, &services, &err), 0);
        char *words = services.states[0].words == NULL
                          ? NULL
                          : cJSON_PrintUnformatted(services.states[0].words);
        bool same = words == NULL || rows[i].words == NULL ? words == NULL && rows[i].words == NULL
                                                           : strcmp(words, rows[i].words) == 0;
        if (!same || services.entries[0].wrapped != rows[i].wrapped) {
            fail_msg("%s: %s", rows[i].name, words == NULL ? "none" : words);
        }
        assert_memory_equal(services.entries[0].image.name, "rewritten/", 10);
        cJSON_free(words);
        ecs_services_done(&services);
    }
}

static void the_ports_of_services(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } rows[] = {
        {"one port twice", "[{\"name\":\"a\"},{\"name\":\"b\"}]", "'a' and 'b' both use port 5432"},
        {"one may do without it", "[{\"name\":\"a\"},{\"name\":\"two\"}]", NULL},
        {"another by its variable",
         "[{\"name\":\"a\"},{\"name\":\"b\",\"env\":[\"HEALTHCHECK_TCP_PORT=5433\"]}]", NULL},
        {"the job's", "[{\"name\":\"a\",\"env\":[\"HEALTHCHECK_TCP_PORT=22122\"]}]",
         "port 22122, which is Berth's own"},
        {"the helper's, which the image exposes",
         "[{\"name\":\"two-helper\",\"env\":[\"HEALTHCHECK_TCP_PORT=5432\"]}]",
         "port 22123, which is Berth's own"},
        {"not known", "[{\"name\":\"unknown1\"},{\"name\":\"unknown2\"}]", NULL},
        {"not a port", "[{\"name\":\"unknown\",\"env\":[\"HEALTHCHECK_TCP_PORT=x\"]}]", NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ecs_services services;
        struct error err = {0};
        int result = read_services(rows[i].text, NULL, &services, &err);
        if ((result < 0) != (rows[i].message != NULL)) {
            fail_msg("%s: %s", rows[i].name, err.message);
        }
        if (rows[i].message != NULL) {
            rows_assert_contains(rows[i].name, err.message, rows[i].message);
        }
        ecs_services_done(&services);
    }
}

static void variables_that_the_agent_would_refuse(void **state)
{
    (void)state;
    struct ecs_services services;
    struct error err = {0};
    struct buffer text;
    buffer_init(&text, 1 << 20);
    assert_int_equal(buffer_printf(&text,
                                   "[{\"name\":\"db\",\"env\":[\"=1\",\"A\\n=2\",\"%0257d=3\","
                                   "\"%0256d=4\",\"B C=\"]}]",
                                   0, 0),
                     0);
    assert_int_equal(read_services(text.bytes, NULL, &services, &err), 0);
    const cJSON *variables = services.states[0].variables;
    assert_int_equal(cJSON_GetArraySize(variables), 2);
    assert_int_equal(strlen(cJSON_GetArrayItem(variables, 0)->valuestring), 258);
    assert_string_equal(cJSON_GetArrayItem(variables, 1)->valuestring, "B C=");
    ecs_services_done(&services);
    for (int count = 4096; count <= 4097; count++) {
        buffer_clear(&text);
        assert_int_equal(buffer_printf(&text, "[{\"name\":\"db\",\"env\":[\"V=\""), 0);
        for (int i = 1; i < count; i++) {
            assert_int_equal(buffer_printf(&text, ",\"V%d=\"", i), 0);
        }
        assert_int_equal(buffer_append_text(&text, "]}]"), 0);
        assert_int_equal(read_services(text.bytes, NULL, &services, &err), count > 4096 ? -1 : 0);
        ecs_services_done(&services);
    }
    rows_assert_contains("too many", err.message,
                         "'db': it has 4097 variables, more than the 4096");
    buffer_done(&text);
}

static void overrides_take_what_has_room(void **state)
{
    (void)state;
    static const char response[] =
        "{\"variables\":[{\"key\":\"SECRET\",\"masked\":true},{\"key\":\"SHORT\","
        "\"masked\":true},{\"key\":\"SHORTEST\",\"masked\":true}]}";
    struct {
        const char *name, *text;
        size_t room;
        const char *overrides, *message;
    } rows[] = {
        {"a long name", NULL, 8192, NULL, NULL},
        {"all", "[{\"name\":\"unknown\",\"env\":[\"CI_X=1\",\"PUBLIC=2\",\"OWN=3\"]}]", 8192,
         "[{\"name\":\"berth-svc-1\",\"environment\":[{\"name\":\"OWN\",\"value\":\"3\"},{\"name\":"
         "\"PUBLIC\",\"value\":\"2\"},{\"name\":\"CI_X\",\"value\":\"1\"}]}]",
         NULL},
        {"own and public", "[{\"name\":\"unknown\",\"env\":[\"CI_X=1\",\"PUBLIC=2\",\"OWN=3\"]}]",
         48 + 27 + 30,
         "[{\"name\":\"berth-svc-1\",\"environment\":[{\"name\":\"OWN\",\"value\":\"3\"},{\"name\":"
         "\"PUBLIC\",\"value\":\"2\"}]}]",
         NULL},
        {"no room for its own", "[{\"name\":\"unknown\",\"env\":[\"OWN=3\"]}]", 60, NULL,
         "its variable OWN does not fit"},
        {"a masked value", "[{\"name\":\"unknown\",\"env\":[\"OWN=x0123456789\"]}]", 8192, NULL,
         "its variable OWN has a masked value"},
        {"the shortest that is found", "[{\"name\":\"unknown\",\"env\":[\"OWN=wxyz\"]}]", 8192,
         NULL, "its variable OWN has a masked value"},
        {"a value too short to be found", "[{\"name\":\"unknown\",\"env\":[\"OWN=abc\"]}]", 8192,
         "[{\"name\":\"berth-svc-1\",\"environment\":[{\"name\":\"OWN\",\"value\":\"abc\"}]}]",
         NULL},
        {"wrapped", "[{\"name\":\"db\",\"env\":[\"OWN=0123456789\"]}]", 0, "[]", NULL},
    };
    char name[401];
    char long_name[512], long_override[512];
    memset(name, 'N', 400);
    name[400] = '\0';
    (void)snprintf(long_name, sizeof(long_name), "[{\"name\":\"unknown\",\"env\":[\"%s=1\"]}]",
                   name);
    (void)snprintf(long_override, sizeof(long_override),
                   "[{\"name\":\"berth-svc-1\",\"environment\":[{\"name\":\"%s\",\"value\":\"1\"}]"
                   "}]",
                   name);
    rows[0].text = long_name;
    rows[0].overrides = long_override;
    (void)setenv("CUSTOM_ENV_CI_X", "1", 1);
    (void)setenv("CUSTOM_ENV_PUBLIC", "2", 1);
    (void)setenv("CUSTOM_ENV_SECRET", "0123456789", 1);
    (void)setenv("CUSTOM_ENV_SHORT", "abc", 1);
    (void)setenv("CUSTOM_ENV_SHORTEST", "wxyz", 1);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ecs_services services;
        char use[] = "auto";
        struct config config = {.helper.use = use};
        struct error err = {0};
        assert_int_equal(read_services(rows[i].text, response, &services, &err), 0);
        int result = ecs_services_override(&services, &config, rows[i].room, &err);
        char *text = cJSON_PrintUnformatted(services.overrides);
        if (rows[i].overrides != NULL && (result < 0 || strcmp(text, rows[i].overrides) != 0)) {
            fail_msg("%s: %s %s", rows[i].name, text, err.message);
        }
        if (rows[i].message != NULL) {
            assert_int_equal(err.kind, ERROR_USAGE);
            rows_assert_contains(rows[i].name, err.message, rows[i].message);
        }
        cJSON_free(text);
        ecs_services_done(&services);
    }
    struct ecs_services none;
    assert_int_equal(read_services(NULL, NULL, &none, NULL), 0); /* frees the last list, too */
    ecs_services_done(&none);
}

static void names_that_vary_are_not_for_the_definition(void **state)
{
    (void)state;
    struct ecs_services services;
    struct error err = {0};
    assert_int_equal(read_services("[{\"name\":\"a/db\",\"alias\":\"db-7\",\"alias_varies\":true},"
                                   "{\"name\":\"two\",\"alias\":\"cache\"}]",
                                   NULL, &services, &err),
                     0);
    char *text = cJSON_PrintUnformatted(services.host_names);
    assert_string_equal(text, "[\"cache\",\"two\"]");
    cJSON_free(text);
    text = cJSON_PrintUnformatted(services.varying_names);
    assert_string_equal(text, "[\"db-7\",\"a__db\",\"a-db\"]");
    cJSON_free(text);
    ecs_services_done(&services);
}

static void registrations_have_a_bucket(void **state)
{
    (void)state;
    struct config config = {.metadata_directory = rows_directory};
    config.fargate.calls_per_second = 10;
    int64_t before_ms = clock_now_ms();
    int64_t slot_ms = 0;
    for (int call = 0; call < 15; call++) {
        slot_ms = ecs_pace_register(&config);
        assert_true(slot_ms <= clock_now_ms());
    }
    for (int call = 15; call < 20; call++) {
        int64_t next_ms = ecs_pace_register(&config);
        assert_true(next_ms > slot_ms);
        slot_ms = next_ms;
    }
    assert_true(slot_ms >= before_ms + 5 * 1250 - 100 && slot_ms <= before_ms + 10000);
    assert_true(ecs_pace_delete(&config) <= clock_now_ms());
}

static void the_store_forgets_what_is_old_or_not_trusted(void **state)
{
    (void)state;
    char path[128];
    struct buffer text;
    int64_t age_s = -1;
    struct config config = {.metadata_directory = rows_directory};
    buffer_init(&text, 64);
    assert_false(ecs_store_read(&config, "a", 0, &text, NULL));
    ecs_store_write(&config, "a", "content");
    assert_true(ecs_store_read(&config, "a", 60, &text, &age_s));
    assert_string_equal(text.bytes, "content");
    assert_true(age_s >= 0 && age_s < 30);
    (void)snprintf(path, sizeof(path), "%s/.ecs-definitions/a", rows_directory);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    const struct timespec old[2] = {{.tv_sec = time(NULL) - 100}, {.tv_sec = time(NULL) - 100}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_false(ecs_store_read(&config, "a", 60, &text, NULL));
    assert_true(ecs_store_read(&config, "a", 0, &text, NULL));
    assert_int_equal(chmod(path, 0622), 0);
    assert_false(ecs_store_read(&config, "a", 0, &text, NULL));
    assert_int_equal(chmod(path, 0600), 0);
    ecs_store_sweep(&config, 200);
    assert_true(ecs_store_read(&config, "a", 0, &text, NULL));
    ecs_store_sweep(&config, 50);
    assert_false(ecs_store_read(&config, "a", 0, &text, NULL));
    ecs_store_write(&config, "b", "x");
    ecs_store_remove(&config, "b");
    assert_false(ecs_store_read(&config, "b", 0, &text, NULL));
    int lock = ecs_store_lock(&config, "c", NULL, clock_deadline_ms(1000));
    assert_true(lock >= 0);
    int64_t from_ms = clock_now_ms();
    assert_int_equal(ecs_store_lock(&config, "c", NULL, clock_deadline_ms(200)), -1);
    assert_true(clock_now_ms() >= from_ms + 200);
    (void)close(lock);
    lock = ecs_store_lock(&config, "c", NULL, clock_deadline_ms(1000));
    assert_true(lock >= 0);
    (void)close(lock);
    buffer_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_a_service),
        cmocka_unit_test(the_ports_of_services),
        cmocka_unit_test(variables_that_the_agent_would_refuse),
        cmocka_unit_test(overrides_take_what_has_room),
        cmocka_unit_test(names_that_vary_are_not_for_the_definition),
        cmocka_unit_test(registrations_have_a_bucket),
        cmocka_unit_test(the_store_forgets_what_is_old_or_not_trusted),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
