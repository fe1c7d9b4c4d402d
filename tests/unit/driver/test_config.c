/* SPDX-License-Identifier: MIT */
#include "driver/config.h"
#include "driver/config_file.h"
#include "rows.h"

static void clear_environment(void)
{
    (void)unsetenv("CUSTOM_ENV_FARGATE_TASK_DEFINITION");
    (void)unsetenv("CUSTOM_ENV_FARGATE_PLATFORM_VERSION");
    (void)unsetenv("BERTH_AGENT");
}

static int load(const char *text, struct config *config, struct error *err)
{
    struct config_options options = {.path = rows_file("fargate.toml", text, strlen(text))};
    return config_load(config, &options, err);
}

static void refuses_with_file_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } rows[] = {
        {"number for a text", "\nLogFile = 3\n", "fargate.toml:2: LogFile: wanted a string, found"},
        {"text for a bool", "[Fargate]\nEnablePublicIP = \"yes\"\n",
         ":2: Fargate.EnablePublicIP: wanted true or false, found \"yes\""},
        {"array for a text", "[Fargate]\nCluster = [\"a\"]\n",
         ":2: Fargate.Cluster: wanted a string, found an array"},
        {"port 0", "[SSH]\nPort = 0\n", ":2: SSH.Port: wanted a value from 1 to 65535"},
        {"port too large", "[SSH]\nPort = 65536\n", "from 1 to 65535"},
        {"text for a port", "[SSH]\nPort = \"22\"\n", ":2: SSH.Port: wanted a whole number"},
        {"unit unknown", "CancelGrace = \"10 parsecs\"\n", ":1: CancelGrace: wanted a duration"},
        {"negative duration", "CancelGrace = -1\n", ":1: CancelGrace: wanted a duration"},
        {"duration too long", "[SSH]\nConnectTimeout = \"2d\"\n", "SSH.ConnectTimeout: wanted a"},
        {"log level unknown", "LogLevel = \"loud\"\n", ":1: LogLevel: wanted one of \"debug\""},
        {"log format unknown", "LogFormat = \"xml\"\n", ":1: LogFormat: wanted \"text\" or"},
        {"number in a list", "[Local]\nPassEnvironment = [\"A\", 2]\n", "Local.PassEnvironment"},
        {"too many groups", "[Fargate]\nSecurityGroups = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]\n",
         ":2: Fargate.SecurityGroups: more than 5 entries"},
        {"no size", "[Docker]\nMemory = \"much\"\n", ":2: Docker.Memory: wanted a size such as"},
        {"too small a size", "[Docker]\nMemory = 1024\n", "Docker.Memory: wanted a value from 62"},
        {"no processors", "[Docker]\nCPUs = 0\n", ":2: Docker.CPUs: wanted a number of"},
        {"processors by name", "[Docker]\nCPUs = \"two\"\n", "Docker.CPUs: wanted a number of"},
        {"processors and more", "[Docker]\nCPUs = \"2x\"\n", "Docker.CPUs: wanted a number of"},
        {"not a number of processors", "[Docker]\nCPUs = nan\n", "Docker.CPUs: wanted a number"},
        {"value for a table", "SSH = 1\n", ":1: SSH: wanted a table, found an integer"},
        {"broken TOML", "a = 1\nb = = 2\n", "fargate.toml:2:"},
        {"key twice", "LogFile = \"a\"\nLogFile = \"b\"\n", "fargate.toml:2:"},
    };
    clear_environment();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config;
        struct error err = {0};
        if (load(rows[i].text, &config, &err) == 0) {
            fail_msg("%s: was taken", rows[i].name);
        }
        rows_assert_contains(rows[i].name, err.message, rows[i].message);
        assert_int_equal(err.kind, ERROR_USAGE);
        config_done(&config);
    }
}

static void reads_sizes_and_processors(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int64_t memory_bytes, nano_cpus;
    } rows[] = {
        {"nothing", "", 0, 0},
        {"texts", "[Docker]\nMemory = \"512MiB\"\nCPUs = \"0.25\"\n", 512LL << 20, 250000000},
        {"numbers", "[Docker]\nMemory = 8388608\nCPUs = 2\n", 8 << 20, 2000000000},
        {"a fraction", "[docker]\nmemory = \"2G\"\ncpus = 1.5\n", 2LL << 30, 1500000000},
    };
    clear_environment();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config;
        struct error err = {0};
        int result = load(rows[i].text, &config, &err);
        if (result < 0 || config.docker.memory_bytes != rows[i].memory_bytes ||
            config.docker.nano_cpus != rows[i].nano_cpus) {
            fail_msg("%s: %s", rows[i].name, err.message);
        }
        config_done(&config);
    }
}

static void reads_every_key_of_a_fargate_file(void **state)
{
    (void)state;
    static const char text[] =
        "LogLevel = \"warn\"\nlogformat = \"JSON\"\nLogFile = \"/x\"\nBackend = \"local\"\n"
        "CancelGrace = 3\nCleanupTimeout = \"2m\"\n"
        "[fargate]\nCluster = \"c\"\nRegion = \"r\"\nSubnet = \"s1\"\nSecurityGroup = [\"g1\"]\n"
        "TaskDefinition = \"t:1\"\nPlatformVersion = \"1.4.0\"\nEnablePublicIP = true\n"
        "USEPUBLICIP = false\nPropagateTags = true\nEnableExecuteCommand = true\n"
        "[TaskMetadata]\nDirectory = \"/m\"\n[SSH]\nUsername = \"u\"\nPort = 2222\n"
        "ConnectTimeout = \"5m\"\nKeepalive = 20\n"
        "[Local]\nDirectory = \"/l\"\nAgent = \"/a\"\nPassEnvironment = [\"A\", \"B\"]\n";
    struct config config;
    struct error err = {0};
    clear_environment();
    assert_int_equal(load(text, &config, &err), 0);
    assert_int_equal(config.log_level, LOG_WARN);
    assert_int_equal(config.log_format, LOG_JSON);
    assert_string_equal(config.log_file, "/x");
    assert_string_equal(config.backend, "local");
    assert_int_equal(config.cancel_grace_ms, 3000);
    assert_int_equal(config.cleanup_timeout_ms, 120000);
    assert_string_equal(config.fargate.cluster, "c");
    assert_string_equal(config.fargate.region, "r");
    assert_int_equal(config.fargate.subnets.count, 1);
    assert_string_equal(config.fargate.subnets.entries[0], "s1");
    assert_string_equal(config.fargate.security_groups.entries[0], "g1");
    assert_string_equal(config.fargate.task_definition, "t:1");
    assert_string_equal(config.fargate.platform_version, "1.4.0");
    assert_true(config.fargate.enable_public_ip);
    assert_int_equal(config.fargate.use_public_ip, CONFIG_NO);
    assert_true(config.fargate.propagate_tags);
    assert_true(config.fargate.enable_execute_command);
    assert_string_equal(config.metadata_directory, "/m");
    assert_string_equal(config.ssh_username, "u");
    assert_int_equal(config.ssh_port, 2222);
    assert_int_equal(config.ssh_connect_timeout_ms, 300000);
    assert_int_equal(config.ssh_keepalive_ms, 20000);
    assert_string_equal(config.local_directory, "/l");
    assert_string_equal(config.local_agent, "/a");
    assert_int_equal(config.local_pass_environment.count, 2);
    assert_string_equal(config.local_pass_environment.entries[1], "B");
    config_done(&config);
}

static void warns_about_unknown_keys(void **state)
{
    (void)state;
    static const char text[] = "Odd = 1\n[SSH]\nPrivateKeyPath = \"/k\"\n[New]\nx = 1\n";
    struct config config = {0};
    struct buffer warnings;
    struct error err = {0};
    buffer_init(&warnings, 4096);
    const char *path = rows_file("odd.toml", text, strlen(text));
    assert_int_equal(config_file_load(&config, path, &warnings, &err), 0);
    rows_assert_contains("root", warnings.bytes, "odd.toml:1: Odd: unknown key");
    rows_assert_contains("leftover", warnings.bytes, "odd.toml:3: SSH.PrivateKeyPath: every job");
    rows_assert_contains("table", warnings.bytes, "odd.toml:4: New: unknown key");
    buffer_done(&warnings);
    config_done(&config);
}

static void options_win_over_job_variables_over_the_file(void **state)
{
    (void)state;
    static const char text[] = "[Fargate]\nTaskDefinition = \"file\"\nPlatformVersion = \"file\"\n";
    struct config config;
    struct error err = {0};
    clear_environment();
    (void)setenv("CUSTOM_ENV_FARGATE_TASK_DEFINITION", "variable", 1);
    (void)setenv("CUSTOM_ENV_FARGATE_PLATFORM_VERSION", "variable", 1);
    struct config_options options = {
        .path = rows_file("o.toml", text, strlen(text)),
        .task_definition = "option",
        .debug = true,
    };
    assert_int_equal(config_load(&config, &options, &err), 0);
    assert_string_equal(config.fargate.task_definition, "option");
    assert_string_equal(config.fargate.platform_version, "variable");
    assert_int_equal(config.log_level, LOG_DEBUG);
    config_done(&config);
    clear_environment();
}

static void a_missing_file_is_the_persons_mistake(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    struct config_options options = {.path = "/nonexistent/fargate.toml"};
    assert_int_equal(config_load(&config, &options, &err), -1);
    assert_int_equal(err.kind, ERROR_USAGE);
    rows_assert_contains("missing", err.message, "'/nonexistent/fargate.toml'");
    config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_file_line_and_key),
        cmocka_unit_test(reads_every_key_of_a_fargate_file),
        cmocka_unit_test(reads_sizes_and_processors),
        cmocka_unit_test(warns_about_unknown_keys),
        cmocka_unit_test(options_win_over_job_variables_over_the_file),
        cmocka_unit_test(a_missing_file_is_the_persons_mistake),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
