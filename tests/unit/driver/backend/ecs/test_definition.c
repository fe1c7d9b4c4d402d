/* SPDX-License-Identifier: MIT */
/* Generated task definitions: what comes from the base, what is added, and their hash. */
#include "driver/backend/ecs/definition.h"
#include "driver/base/json.h"

#include "tests/unit/driver/rows.h"

static char container_name[] = "ci-coordinator";
static char log_group[] = "/ci/jobs";
static char role[] = "arn:aws:iam::1:role/pull";

static struct config make_config(void)
{
    struct config config = {0};
    config.fargate.container_name = container_name;
    config.fargate.job_port = 22122;
    config.fargate.helper_port = 22123;
    config.fargate.size.cpu_units = 1024;
    config.fargate.size.memory_mib = 2048;
    return config;
}

static struct ecs_plan make_plan(const struct config *config)
{
    return (struct ecs_plan){.config = config,
                             .region = "eu-west-1",
                             .agent = {"example/agent", NULL},
                             .helper = {"example/helper", NULL},
                             .job = {"node:22", NULL},
                             .with_helper = true,
                             .services_see_builds = true};
}

static cJSON *make(const struct ecs_plan *plan)
{
    struct error err = {0};
    cJSON *definition = ecs_definition_make(plan, &err);
    if (definition == NULL) {
        fail_msg("%s", err.message);
    }
    return definition;
}

static const cJSON *container(const cJSON *definition, const char *name)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, json_at(definition, "containerDefinitions"))
    {
        if (strcmp(json_text_or_empty(item, "name"), name) == 0) {
            return item;
        }
    }
    return NULL;
}

/* The compact text of a part of a container; empty: it is not there. */
static const char *part(const cJSON *definition, const char *name, const char *path)
{
    static char text[4096];
    const cJSON *found = json_at(container(definition, name), path);
    text[0] = '\0';
    if (found != NULL) {
        assert_true(cJSON_PrintPreallocated((cJSON *)(uintptr_t)found, text, (int)sizeof(text), 0));
    }
    return text;
}

static cJSON *base_of(const char *job_keys, const char *task_keys, const char *others)
{
    char text[4096];
    (void)snprintf(text, sizeof(text),
                   "{\"family\":\"b\",\"revision\":7,\"status\":\"ACTIVE\",\"registeredAt\":1.5,"
                   "\"requiresAttributes\":[],\"compatibilities\":[\"EC2\"],\"cpu\":\"512\","
                   "\"memory\":\"1024\",\"newKey\":{\"b\":1,\"a\":2}%s,\"containerDefinitions\":["
                   "{\"name\":\"ci-coordinator\",\"image\":\"old\"%s}%s]}",
                   task_keys, job_keys, others);
    cJSON *base = cJSON_Parse(text);
    assert_non_null(base);
    return base;
}

static void without_a_base_the_file_decides(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    config.fargate.log_group = log_group;
    config.fargate.execution_role = role;
    cJSON *definition = make(&plan);
    assert_string_equal(json_text_at(definition, "cpu"), "1024");
    assert_string_equal(json_text_at(definition, "memory"), "2048");
    assert_string_equal(json_text_at(definition, "executionRoleArn"), role);
    assert_string_equal(json_text_at(definition, "networkMode"), "awsvpc");
    assert_null(json_at(definition, "family"));
    assert_int_equal(cJSON_GetArraySize(json_at(definition, "containerDefinitions")), 3);
    static const struct {
        const char *name, *path, *text;
    } rows[] = {
        {"berth-inject", "image", "\"example/agent\""},
        {"berth-inject", "essential", "false"},
        {"berth-inject", "user", "\"0\""},
        {"berth-inject", "entryPoint", "[\"/berth-agent\"]"},
        {"berth-inject", "command", "[\"place\",\"/.berth\",\"--builds\",\"/builds\"]"},
        {"berth-inject", "dependsOn", ""},
        {"berth-inject", "logConfiguration.options.awslogs-group", "\"/ci/jobs\""},
        {"berth-helper", "image", "\"example/helper\""},
        {"berth-helper", "essential", "true"},
        {"berth-helper", "user", "\"0\""},
        {"berth-helper", "entryPoint", "[\"/.berth/berth-agent\"]"},
        {"berth-helper", "command", "[\"--listen\",\":22123\",\"--helper\",\"--umask\",\"0000\"]"},
        {"berth-helper", "dependsOn",
         "[{\"condition\":\"SUCCESS\",\"containerName\":\"berth-inject\"}]"},
        {"ci-coordinator", "image", "\"node:22\""},
        {"ci-coordinator", "essential", "true"},
        {"ci-coordinator", "user", ""},
        {"ci-coordinator", "command",
         "[\"--listen\",\":22122\",\"--busybox\",\"/.berth\",\"--home-fallback\","
         "\"/builds/.berth-home\"]"},
        {"ci-coordinator", "mountPoints",
         "[{\"containerPath\":\"/.berth\",\"readOnly\":true,\"sourceVolume\":\"berth\"},"
         "{\"containerPath\":\"/builds\",\"readOnly\":false,\"sourceVolume\":\"berth-builds\"}]"},
        {"ci-coordinator", "logConfiguration.options.awslogs-region", "\"eu-west-1\""},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const char *text = part(definition, rows[i].name, rows[i].path);
        if (strcmp(text, rows[i].text) != 0) {
            fail_msg("%s %s: %s", rows[i].name, rows[i].path, text);
        }
    }
    cJSON_Delete(definition);
}

static void a_size_is_needed(void **state)
{
    (void)state;
    struct error err = {0};
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    config.fargate.size.memory_mib = 0;
    assert_null(ecs_definition_make(&plan, &err));
    assert_int_equal(err.kind, ERROR_USAGE);
    rows_assert_contains("hint", err.hint, "[Fargate] Cpu and Memory");
}

static void the_base_keeps_what_is_not_of_its_image(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *base = base_of(
        ",\"entryPoint\":[\"x\"],\"command\":[\"x\"],\"workingDirectory\":\"/x\",\"user\":\"x\","
        "\"healthCheck\":{},\"portMappings\":[{}],\"restartPolicy\":{},\"dependsOn\":[{}],"
        "\"cpu\":1,\"memory\":2,\"memoryReservation\":3,\"repositoryCredentials\":{\"x\":1},"
        "\"environment\":[{\"name\":\"B\",\"value\":\"2\"},{\"name\":\"A\",\"value\":\"1\"}],"
        "\"secrets\":[{\"name\":\"S\",\"valueFrom\":\"arn:s\"}],\"ulimits\":[{\"name\":\"nofile\"}]"
        ",\"environmentFiles\":[{\"value\":\"arn:e\"}],"
        "\"logConfiguration\":{\"logDriver\":\"splunk\"},"
        "\"mountPoints\":[{\"sourceVolume\":\"efs\",\"containerPath\":\"/cache\"}],"
        "\"linuxParameters\":{\"initProcessEnabled\":true},\"stopTimeout\":120,\"odd\":1",
        ",\"executionRoleArn\":\"arn:own\",\"volumes\":[{\"name\":\"efs\"}],"
        "\"runtimePlatform\":{\"cpuArchitecture\":\"ARM64\"}",
        ",{\"name\":\"sidecar\",\"image\":\"side\",\"cpu\":0,\"dependsOn\":[{\"x\":1}]}");
    plan.base = base;
    config.fargate.execution_role = role;
    cJSON *definition = make(&plan);
    static const char *const gone[] = {
        "workingDirectory",     "user", "healthCheck", "portMappings",
        "restartPolicy",        "cpu",  "memory",      "memoryReservation",
        "repositoryCredentials"};
    for (size_t i = 0; i < ROW_COUNT(gone); i++) {
        if (json_at(container(definition, "ci-coordinator"), gone[i]) != NULL) {
            fail_msg("%s stayed", gone[i]);
        }
    }
    static const struct {
        const char *name, *path, *text;
    } rows[] = {
        {"ci-coordinator", "image", "\"node:22\""},
        {"ci-coordinator", "entryPoint", "[\"/.berth/berth-agent\"]"},
        {"ci-coordinator", "environment",
         "[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"2\"}]"},
        {"ci-coordinator", "linuxParameters.initProcessEnabled", "true"},
        {"ci-coordinator", "stopTimeout", "120"},
        {"ci-coordinator", "odd", "1"},
        {"berth-helper", "environment",
         "[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"2\"}]"},
        {"berth-helper", "secrets", "[{\"name\":\"S\",\"valueFrom\":\"arn:s\"}]"},
        {"berth-helper", "environmentFiles", "[{\"value\":\"arn:e\"}]"},
        {"berth-helper", "ulimits", "[{\"name\":\"nofile\"}]"},
        {"berth-helper", "linuxParameters", ""},
        {"berth-helper", "odd", ""},
        {"berth-inject", "logConfiguration.logDriver", "\"splunk\""},
        {"berth-inject", "secrets", ""},
        {"sidecar", "cpu", "0"},
        {"sidecar", "dependsOn", "[{\"x\":1}]"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const char *text = part(definition, rows[i].name, rows[i].path);
        if (strcmp(text, rows[i].text) != 0) {
            fail_msg("%s %s: %s", rows[i].name, rows[i].path, text);
        }
    }
    rows_assert_contains("the cache", part(definition, "berth-helper", "mountPoints"), "/cache");
    static const char *const answered[] = {"family",       "revision",           "status",
                                           "registeredAt", "requiresAttributes", "compatibilities"};
    for (size_t i = 0; i < ROW_COUNT(answered); i++) {
        assert_null(json_at(definition, answered[i]));
    }
    assert_string_equal(json_text_at(definition, "executionRoleArn"), "arn:own");
    assert_string_equal(json_text_at(definition, "cpu"), "512");
    assert_int_equal(json_number_at(definition, "newKey.a"), 2);
    assert_int_equal(cJSON_GetArraySize(json_at(definition, "volumes")), 3);
    assert_string_equal(ecs_definition_processor(definition), "ARM64");
    assert_int_equal(ecs_definition_sidecars(base, "ci-coordinator"), 1);
    cJSON_Delete(definition);
    cJSON_Delete(base);
}

static void a_base_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *job, *task, *others, *message;
    } rows[] = {
        {"no job container", "", "", "", "has no container 'other'"},
        {"our container", "", "", ",{\"name\":\"berth-helper\"}", "which Berth adds itself"},
        {"our service", "", "", ",{\"name\":\"berth-svc-1\"}", "which Berth adds itself"},
        {"our volume", "", ",\"volumes\":[{\"name\":\"berth\"}]", "", "which Berth adds itself"},
        {"our path", ",\"mountPoints\":[{\"containerPath\":\"/builds\"}]", "", "",
         "remove that mount point"},
        {"waits for health", "", "",
         ",{\"name\":\"x\",\"dependsOn\":[{\"containerName\":\"ci-coordinator\",\"condition\":"
         "\"HEALTHY\"}]}",
         "'x' of the task definition waits for 'ci-coordinator' to be HEALTHY"},
        {"waits for the end", "", "",
         ",{\"name\":\"x\",\"dependsOn\":[{\"containerName\":\"y\",\"condition\":\"HEALTHY\"},"
         "{\"containerName\":\"ci-coordinator\",\"condition\":\"COMPLETE\"}]}",
         "to be COMPLETE"},
        {"eight sidecars", "", "",
         ",{\"name\":\"1\"},{\"name\":\"2\"},{\"name\":\"3\"},{\"name\":\"4\"},{\"name\":\"5\"},"
         "{\"name\":\"6\"},{\"name\":\"7\"},{\"name\":\"8\"}",
         "needs 11 containers, above ECS's limit of 10"},
    };
    static char other[] = "other";
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct error err = {0};
        struct config config = make_config();
        struct ecs_plan plan = make_plan(&config);
        cJSON *base = base_of(rows[i].job, rows[i].task, rows[i].others);
        config.fargate.container_name = i == 0 ? other : container_name;
        plan.base = base;
        cJSON *definition = ecs_definition_make(&plan, &err);
        if (definition != NULL || err.kind != ERROR_USAGE) {
            fail_msg("%s: not refused", rows[i].name);
        }
        rows_assert_contains(rows[i].name, err.message, rows[i].message);
        cJSON_Delete(base);
    }
}

static void a_large_definition_is_refused(void **state)
{
    (void)state;
    static char words[70000];
    struct error err = {0};
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    memset(words, 'x', sizeof(words) - 1);
    const char *const word = words;
    cJSON *command = cJSON_CreateStringArray(&word, 1);
    const struct ecs_service service = {.image = {"a", NULL}, .command = command};
    plan.services = &service;
    plan.service_count = 1;
    assert_null(ecs_definition_make(&plan, &err));
    rows_assert_contains("message", err.message, "above ECS's limit of 65536");
    cJSON_Delete(command);
}

static void the_job_decides_user_processor_and_entrypoint(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *base = base_of("", ",\"runtimePlatform\":{\"cpuArchitecture\":\"X86_64\"}", "");
    cJSON *entrypoint = cJSON_Parse("[\"/entry\",\"-x\"]");
    cJSON *names = cJSON_Parse("[\"db\",\"cache\"]");
    plan.base = base;
    plan.user = "1000:1000";
    plan.processor = "ARM64";
    plan.entrypoint = entrypoint;
    plan.host_names = names;
    plan.plain_umask = true;
    plan.job.secret = "arn:secret";
    cJSON *definition = make(&plan);
    assert_string_equal(part(definition, "ci-coordinator", "user"), "\"1000:1000\"");
    assert_string_equal(part(definition, "ci-coordinator", "repositoryCredentials"),
                        "{\"credentialsParameter\":\"arn:secret\"}");
    assert_string_equal(
        part(definition, "ci-coordinator", "command"),
        "[\"--listen\",\":22122\",\"--host-name\",\"db\",\"--host-name\",\"cache\",\"--busybox\","
        "\"/.berth\",\"--home-fallback\",\"/builds/.berth-home\",\"--entrypoint\",\"/entry\","
        "\"--entrypoint\",\"-x\"]");
    rows_assert_contains("helper", part(definition, "berth-helper", "command"),
                         "\"--umask\",\"0022\"");
    rows_assert_contains("helper", part(definition, "berth-helper", "command"),
                         "\"--host-name\",\"db\"");
    assert_string_equal(ecs_definition_processor(definition), "ARM64");
    assert_string_equal(json_text_at(definition, "runtimePlatform.operatingSystemFamily"), "LINUX");
    cJSON_Delete(definition);
    cJSON_Delete(names);
    cJSON_Delete(entrypoint);
    cJSON_Delete(base);
}

static void a_service_waits_as_long_as_the_launch_may_take(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *words = cJSON_Parse("[\"serve\"]");
    const struct ecs_service service = {.image = {"a", NULL}, .entrypoint = words, .wrapped = true};
    plan.services = &service;
    plan.service_count = 1;
    config.fargate.launch_timeout_ms = 1200000;
    cJSON *definition = make(&plan);
    assert_string_equal(part(definition, "berth-svc-1", "command"),
                        "[\"service\",\"--variables\",\"/.berth-variables/variables\","
                        "\"--timeout\",\"1200000ms\",\"--\",\"serve\"]");
    cJSON_Delete(definition);
    cJSON_Delete(words);
}

static void services_are_wrapped_or_plain(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *words = cJSON_Parse("[\"docker-entrypoint.sh\",\"postgres\"]");
    cJSON *command = cJSON_Parse("[\"redis-server\",\"--save\"]");
    const struct ecs_service services[] = {
        {.image = {"postgres:16", "arn:login"}, .entrypoint = words, .wrapped = true},
        {.image = {"redis:7", NULL}, .user = "999", .command = command},
    };
    plan.services = services;
    plan.service_count = 2;
    cJSON *definition = make(&plan);
    static const struct {
        const char *name, *path, *text;
    } rows[] = {
        {"berth-svc-1", "essential", "false"},
        {"berth-svc-1", "entryPoint", "[\"/.berth/berth-agent\"]"},
        {"berth-svc-1", "command",
         "[\"service\",\"--variables\",\"/.berth-variables/variables\",\"--\","
         "\"docker-entrypoint.sh\",\"postgres\"]"},
        {"berth-svc-1", "dependsOn",
         "[{\"condition\":\"SUCCESS\",\"containerName\":\"berth-inject\"}]"},
        {"berth-svc-1", "environment", ""},
        {"berth-svc-1", "repositoryCredentials.credentialsParameter", "\"arn:login\""},
        {"berth-svc-2", "entryPoint", ""},
        {"berth-svc-2", "command", "[\"redis-server\",\"--save\"]"},
        {"berth-svc-2", "dependsOn", ""},
        {"berth-svc-2", "user", "\"999\""},
        {"berth-svc-2", "mountPoints",
         "[{\"containerPath\":\"/builds\",\"readOnly\":false,\"sourceVolume\":\"berth-builds\"}]"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const char *text = part(definition, rows[i].name, rows[i].path);
        if (strcmp(text, rows[i].text) != 0) {
            fail_msg("%s %s: %s", rows[i].name, rows[i].path, text);
        }
    }
    rows_assert_contains("helper", part(definition, "berth-helper", "mountPoints"),
                         "{\"containerPath\":\"/.berth-services/1\",\"readOnly\":false,"
                         "\"sourceVolume\":\"berth-svc-1\"}");
    rows_assert_contains("service", part(definition, "berth-svc-1", "mountPoints"),
                         "{\"containerPath\":\"/.berth-variables\",\"readOnly\":true,"
                         "\"sourceVolume\":\"berth-svc-1\"}");
    assert_null(strstr(part(definition, "ci-coordinator", "mountPoints"), "svc"));
    cJSON_Delete(definition);
    plan.services_see_builds = false;
    definition = make(&plan);
    assert_string_equal(part(definition, "berth-svc-2", "mountPoints"), "");
    cJSON_Delete(definition);
    cJSON_Delete(words);
    cJSON_Delete(command);
}

static void privileges_and_what_goes_with_them(void **state)
{
    (void)state;
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *base = base_of(",\"privileged\":true", ",\"requiresCompatibilities\":[\"FARGATE\"]", "");
    struct ecs_service services[] = {{.image = {"docker:27-dind", NULL}, .privileged = true},
                                     {.image = {"redis:7", NULL}}};
    plan.base = base;
    plan.services = services;
    plan.service_count = 2;
    plan.compatibility = "MANAGED_INSTANCES";
    plan.privileged = true;
    cJSON *definition = make(&plan);
    const cJSON *kinds = json_at(definition, "requiresCompatibilities");
    assert_int_equal(cJSON_GetArraySize(kinds), 1);
    assert_string_equal(cJSON_GetArrayItem(kinds, 0)->valuestring, "MANAGED_INSTANCES");
    assert_string_equal(part(definition, "ci-coordinator", "privileged"), "true");
    assert_string_equal(part(definition, "berth-svc-1", "privileged"), "true");
    static const char *const plain[] = {"berth-inject", "berth-helper", "berth-svc-2"};
    for (size_t i = 0; i < ROW_COUNT(plain); i++) {
        assert_string_equal(part(definition, plain[i], "privileged"), "");
        assert_null(strstr(part(definition, plain[i], "mountPoints"), "/certs"));
    }
    rows_assert_contains("job", part(definition, "ci-coordinator", "mountPoints"),
                         "{\"containerPath\":\"/certs/client\",\"readOnly\":true,"
                         "\"sourceVolume\":\"berth-certs\"}");
    rows_assert_contains("service", part(definition, "berth-svc-1", "mountPoints"),
                         "{\"containerPath\":\"/certs/client\",\"readOnly\":false,"
                         "\"sourceVolume\":\"berth-certs\"}");
    cJSON_Delete(definition);
    plan.compatibility = NULL;
    plan.privileged = services[0].privileged = false;
    definition = make(&plan);
    kinds = json_at(definition, "requiresCompatibilities");
    assert_string_equal(cJSON_GetArrayItem(kinds, 0)->valuestring, "FARGATE");
    assert_string_equal(part(definition, "ci-coordinator", "privileged"), ""); /* the base's */
    assert_null(strstr(part(definition, "ci-coordinator", "mountPoints"), "/certs"));
    cJSON_Delete(definition);
    cJSON_Delete(base);
}

static void hash_of(const struct ecs_plan *plan, char out[ECS_HASH_BYTES])
{
    struct error err = {0};
    cJSON *definition = make(plan);
    assert_int_equal(ecs_definition_hash(definition, out, &err), 0);
    cJSON_Delete(definition);
}

static void the_hash_is_of_the_content_alone(void **state)
{
    (void)state;
    char hash[ECS_HASH_BYTES], again[ECS_HASH_BYTES], other[ECS_HASH_BYTES];
    struct config config = make_config();
    struct ecs_plan plan = make_plan(&config);
    cJSON *base = cJSON_Parse("{\"cpu\":\"512\",\"memory\":\"1024\",\"revision\":1,"
                              "\"containerDefinitions\":[{\"name\":\"ci-coordinator\",\"x\":{"
                              "\"a\":1,\"b\":[2,1]},\"environment\":[{\"name\":\"A\"},{\"name\":"
                              "\"B\"}]}]}");
    cJSON *shuffled = cJSON_Parse("{\"containerDefinitions\":[{\"environment\":[{\"name\":\"B\"},{"
                                  "\"name\":\"A\"}],\"x\":{\"b\":[2,1],\"a\":1},\"name\":"
                                  "\"ci-coordinator\"}],\"revision\":9,\"memory\":\"1024\","
                                  "\"cpu\":\"512\"}");
    plan.base = base;
    hash_of(&plan, hash);
    plan.base = shuffled;
    hash_of(&plan, again);
    assert_string_equal(hash, again);
    assert_int_equal(strlen(hash), ECS_HASH_BYTES - 1);
    plan.job.name = "node:23";
    hash_of(&plan, other);
    assert_string_not_equal(hash, other);
    cJSON_Delete(base);
    cJSON_Delete(shuffled);
}

static void families_are_of_one_region_and_cluster(void **state)
{
    (void)state;
    char one[ECS_PREFIX_BYTES], same[ECS_PREFIX_BYTES], other[ECS_PREFIX_BYTES];
    ecs_definition_prefix("eu-west-1", "ci", one);
    ecs_definition_prefix("eu-west-1", "arn:aws:ecs:eu-west-1:1:cluster/ci", same);
    ecs_definition_prefix("eu-west-2", "ci", other);
    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), strlen("berth-01234567-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_base_the_file_decides),
        cmocka_unit_test(a_size_is_needed),
        cmocka_unit_test(the_base_keeps_what_is_not_of_its_image),
        cmocka_unit_test(a_base_that_does_not_fit_is_refused),
        cmocka_unit_test(a_large_definition_is_refused),
        cmocka_unit_test(the_job_decides_user_processor_and_entrypoint),
        cmocka_unit_test(a_service_waits_as_long_as_the_launch_may_take),
        cmocka_unit_test(services_are_wrapped_or_plain),
        cmocka_unit_test(privileges_and_what_goes_with_them),
        cmocka_unit_test(the_hash_is_of_the_content_alone),
        cmocka_unit_test(families_are_of_one_region_and_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
