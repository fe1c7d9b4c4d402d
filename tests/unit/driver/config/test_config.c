/* SPDX-License-Identifier: MIT */
#include "driver/backend/backend.h"
#include "driver/config/config_load.h"
#include "tests/unit/driver/rows.h"

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
        {"negative port", "[SSH]\nPort = -1\n", ":2: SSH.Port: wanted a value from 0 to 65535"},
        {"port too large", "[SSH]\nPort = 65536\n", "from 0 to 65535"},
        {"text for a port", "[SSH]\nPort = \"22\"\n", ":2: SSH.Port: wanted a whole number"},
        {"unit unknown", "CancelGrace = \"10 parsecs\"\n", ":1: CancelGrace: wanted a duration"},
        {"negative duration", "CancelGrace = -1\n", ":1: CancelGrace: wanted a duration"},
        {"duration too long", "[SSH]\nConnectTimeout = \"2d\"\n", "SSH.ConnectTimeout: wanted a"},
        {"log level unknown", "LogLevel = \"loud\"\n", ":1: LogLevel: wanted one of \"debug\""},
        {"log level misspelt", "LogLevel = \"wran\"\n", "found \"wran\"; did you mean 'warn'?"},
        {"log format misspelt", "LogFormat = \"jsno\"\n", "did you mean 'json'?"},
        {"log format unknown", "LogFormat = \"xml\"\n", ":1: LogFormat: wanted \"text\" or"},
        {"number in a list", "[Local]\nPassEnvironment = [\"A\", 2]\n", "Local.PassEnvironment"},
        {"too many groups", "[Fargate]\nSecurityGroups = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]\n",
         ":2: Fargate.SecurityGroups: more than 5 entries"},
        {"a class in a pattern",
         "[Docker]\nImage = \"a\"\nAllowedImages = [\"ok:*\",\n \"ruby:[23]\"]\n",
         ":4: Docker.AllowedImages: '[' in the pattern \"ruby:[23]\""},
        {"alternatives in a pattern", "[Docker]\nAllowedServices = \"{a,b}\"\n",
         ":2: Docker.AllowedServices: '{' in the pattern"},
        {"a class of task definitions", "[Fargate]\nAllowedTaskDefinitions = \"a[1]\"\n",
         ":2: Fargate.AllowedTaskDefinitions: '['"},
        {"a class of versions", "[Fargate]\nAllowedPlatformVersions = [\"1.[34].0\"]\n",
         ":2: Fargate.AllowedPlatformVersions: '['"},
        {"a class of roles", "[Fargate]\nAllowedTaskRoles = [\"a[1]\"]\n",
         ":2: Fargate.AllowedTaskRoles: '['"},
        {"a class of execution roles", "[Fargate]\nAllowedExecutionRoles = [\"a[1]\"]\n",
         ":2: Fargate.AllowedExecutionRoles: '['"},
        {"no size", "[Docker]\nMemory = \"much\"\n", ":2: Docker.Memory: wanted a size such as"},
        {"no processor", "[Docker]\nCPUs = 0\n", "such as 2 or 1.5, found 0"},
        {"too small a size", "[Docker]\nMemory = 1024\n", "Docker.Memory: wanted at least 6MiB"},
        {"no processors", "[Docker]\nCPUs = 0\n", ":2: Docker.CPUs: wanted a number of"},
        {"processors by name", "[Docker]\nCPUs = \"two\"\n", "Docker.CPUs: wanted a number of"},
        {"processors and more", "[Docker]\nCPUs = \"2x\"\n", "Docker.CPUs: wanted a number of"},
        {"not a number of processors", "[Docker]\nCPUs = nan\n", "Docker.CPUs: wanted a number"},
        {"a host key policy", "[SSH]\nHostKey = \"never\"\n",
         "fargate.toml:2: SSH.HostKey: wanted \"strict\" or \"accept-new\", found \"never\""},
        {"no tables", "[Warm]\nImage = \"x\"\n", ":1: Warm: wanted tables [[Warm]], found a table"},
        {"neither", "[[Warm]]\nTasks = 1\n", ":1: [[Warm]] needs Image, or TaskDefinition"},
        {"both", "\n[[Warm]]\nImage = \"x\"\nTaskDefinition = \"y\"\n",
         ":2: [[Warm]] needs either"},
        {"more than there may be", "[[Warm]]\nImage = \"x\"\nTasks = 11\n",
         ":1: [[Warm]] of 'x' wants 11 tasks, more than [WarmPool] MaxTasks = 10"},
        {"the same by schedule",
         "[WarmPool]\nMaxTasks = 3\n[[Warm]]\nImage = \"x\"\nSchedule = { \"08:00-09:00\" = 4 }\n",
         ":3: [[Warm]] of 'x' wants 4 tasks"},
        {"a schedule", "[[Warm]]\nImage = \"x\"\n[Warm.Schedule]\n\"Fry 08:00-09:00\" = 1\n",
         ":4: Warm.Schedule: the schedule \"Fry 08:00-09:00\" has no valid days"},
        {"a schedule without a number", "[[Warm]]\nSchedule = { \"08:00-09:00\" = \"4\" }\n",
         ":2: Warm.Schedule: wanted a table such as"},
        {"a negative number", "[[Warm]]\nSchedule = { \"08:00-09:00\" = -1 }\n",
         ":2: Warm.Schedule: wanted a value from 0 to 1000 tasks"},
        {"no age", "[[Warm]]\nMaxAge = 0\n", ":2: Warm.MaxAge: wanted a value from 60s to 24h"},
        {"value for a table", "SSH = 1\n", ":1: SSH: wanted a table, found an integer"},
        {"broken TOML", "a = 1\nb = = 2\n", "fargate.toml:2:"},
        {"key twice", "LogFile = \"a\"\nLogFile = \"b\"\n", "fargate.toml:2:"},
    };
    clear_environment();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config;
        struct error err = {0};
        if (load(rows[i].text, &config, &err) == 0) {
            fail_msg("%s: accepted", rows[i].name);
        }
        char text[ERROR_TEXT_BYTES];
        rows_assert_contains(rows[i].name, error_text(&err, text), rows[i].message);
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

static void keep_text(void *context, const struct error *note)
{
    (void)error_text(note, context);
}

static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *unknown, *notes;
        bool at_root;
    } rows[] = {
        {"nothing like it", "Odd = 1\n", ":1: Odd: unknown key, ignored", NULL, true},
        {"a key of the root", "Bakend = \"docker\"\n",
         ":1: Bakend: unknown key, ignored; did you mean 'Backend'?", NULL, true},
        {"a table", "[Fargat]\nCluster = \"x\"\n",
         ":1: Fargat: unknown table, ignored; did you mean 'Fargate'?", NULL, true},
        {"a key of a table", "[Fargate]\nClutser = \"x\"\n",
         ":2: Fargate.Clutser: unknown key, ignored; did you mean 'Cluster'?", NULL, false},
        {"a key of the root below a table", "[SSH]\nbackend = \"docker\"\n",
         ":2: SSH.backend: unknown key, ignored; 'Backend' belongs above the first table", NULL,
         false},
        {"a key of other tables", "Directory = \"/x\"\n",
         ":1: Directory: unknown key, ignored; 'Directory' belongs in [TaskMetadata] or in "
         "[History] or in [Local]",
         NULL, true},
        {"a table in double brackets", "[[Wram]]\nImage = \"x\"\n",
         ":1: Wram: unknown table, ignored; did you mean 'Warm'?", NULL, true},
        {"a key in double brackets", "[[Warm]]\nImage = \"x\"\nTask = 1\n",
         ":3: Warm.Task: unknown key, ignored; did you mean 'Tasks'?", NULL, false},
        {"a table in a table", "[Fargate.Subnets2]\na = 1\n",
         ":1: Fargate.Subnets2: unknown table, ignored", NULL, false},
        {"a leftover that is known", "[SSH]\nPrivateKeyPath = \"/k\"\n", NULL,
         ":2: SSH.PrivateKeyPath: every job", false},
        {"capitals in the path of an image",
         "[Docker]\nAllowedImages = [\"ruby:3-RC\",\n \"r.example/Group/*\"]\n", NULL,
         ":3: Docker.AllowedImages: the pattern \"r.example/Group/*\" has capitals in the path",
         false},
        {"in one text", "[Fargate]\nPrivilegedServices = \"Docker:*-dind\"\n", NULL,
         ":2: Fargate.PrivilegedServices: the pattern \"Docker:*-dind\" has", false},
        {"not of images", "[Fargate]\nAllowedTaskRoles = \"arn:aws:iam::1:role/Ci\"\n", NULL, NULL,
         false},
    };
    clear_environment();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config;
        struct error err = {0};
        assert_int_equal(load(rows[i].text, &config, &err), 0);
        const struct buffer *notes[] = {&config.unknown, &config.notes};
        const char *wanted[] = {rows[i].unknown, rows[i].notes};
        for (size_t j = 0; j < 2; j++) {
            char text[ERROR_TEXT_BYTES] = "";
            config_each_note(notes[j], keep_text, text);
            if (wanted[j] == NULL) {
                assert_string_equal(text, "");
            } else {
                rows_assert_contains(rows[i].name, text, wanted[j]);
            }
        }
        if (config.unknown_at_root != rows[i].at_root) {
            fail_msg("%s: at the root: %d", rows[i].name, config.unknown_at_root);
        }
        config_done(&config);
    }
}

static void never_guesses_the_backend(void **state)
{
    (void)state;
    static const char complete[] = "[Fargate]\nCluster = \"c\"\n";
    static const struct {
        const char *name, *text, *option, *image;
        bool is_exec;
        const char *backend; /* NULL: an error */
    } rows[] = {
        {"nothing", "", NULL, NULL, false, NULL},
        {"nothing, exec", "", NULL, NULL, true, "local"},
        {"a misspelt key, exec", "Bakend = \"docker\"\n", NULL, NULL, true, NULL},
        {"a misspelt table, exec", "[Fargat]\n", NULL, NULL, true, NULL},
        {"a misspelt value, exec", "Backend = \"dokcer\"\n", NULL, NULL, true, NULL},
        {"an empty text", "Backend = \"\"\n", NULL, NULL, false, NULL},
        {"a table of another backend", "[Docker]\nImage = \"x\"\n", NULL, NULL, false, NULL},
        {"the table", complete, NULL, NULL, false, "ecs"},
        {"an empty table", "[fargate]\n", NULL, NULL, true, "ecs"},
        {"a dotted key", "Fargate.Clutser = \"x\"\n", NULL, NULL, true, "ecs"},
        {"the file's word", "Backend = \"Local\"\n[Fargate]\n", NULL, NULL, false, "local"},
        {"the option's", "Backend = \"local\"\n", "docker", NULL, false, "docker"},
        {"an image with exec", "Backend = \"local\"\n", NULL, "x", true, "docker"},
        {"an image with exec, and the option", "", "ecs", "x", true, "ecs"},
        {"an image in a runner", "", NULL, "x", false, NULL},
    };
    clear_environment();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config;
        struct error err = {0};
        struct config_options options = {
            .path = rows_file("fargate.toml", rows[i].text, strlen(rows[i].text)),
            .backend = rows[i].option,
            .image = rows[i].image,
            .is_exec = rows[i].is_exec,
        };
        assert_int_equal(config_load(&config, &options, &err), 0);
        const struct backend *backend = backend_choose(&config, &err);
        if ((backend == NULL) != (rows[i].backend == NULL) ||
            (backend != NULL && strcmp(backend->name, rows[i].backend) != 0)) {
            fail_msg("%s: %s", rows[i].name, backend == NULL ? err.message : backend->name);
        }
        assert_true(backend != NULL || err.kind == ERROR_USAGE);
        config_done(&config);
    }
}

static void errors_about_values_name_the_place(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    char place[CONFIG_PLACE_BYTES];
    clear_environment();
    static const char text[] = "Backend = \"kvm\"\n[Docker]\n\nPullPolicy = \"x\"\n";
    assert_int_equal(load(text, &config, &err), 0);
    assert_null(backend_choose(&config, &err));
    rows_assert_contains("file", err.message, "fargate.toml:1: Backend: unknown backend 'kvm'");
    rows_assert_contains("line", config_place(&config, &config.docker.pull_policies, "-", place),
                         "fargate.toml:4: Docker.PullPolicy");
    assert_string_equal(config_place(&config, &config.docker.network, "-", place), "-");
    config_done(&config);
    struct config_options options = {.path = rows_file("f.toml", text, strlen(text)),
                                     .backend = "xen"};
    assert_int_equal(config_load(&config, &options, &err), 0);
    assert_null(backend_choose(&config, &err));
    assert_string_equal(err.message, "--backend: unknown backend 'xen'");
    config_done(&config);
}

/* Each default is one that the file could have. */
static void defaults_are_those_of_the_schema(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    clear_environment();
    assert_int_equal(load("[SSH]\nUsername = \"\"\nHostKey = \"\"\n", &config, &err), 0);
    assert_string_equal(config.ssh_username, "root");
    assert_string_equal(config.ssh_host_key, "accept-new");
    assert_string_equal(config.fargate.container_name, "ci-coordinator");
    assert_int_equal(config.cancel_grace_ms, CONFIG_CANCEL_GRACE_MS);
    assert_int_equal(config.ssh_reattach_timeout_ms, CONFIG_REATTACH_TIMEOUT_MS);
    assert_int_equal(config.docker.pull_timeout_ms, 30 * 60 * 1000);
    assert_true(config.fargate.spot_fallback && !config.fargate.spot && !config.fargate.named);
    assert_int_equal(config.fargate.calls_per_second, 10);
    config_done(&config);
}

static void reads_tables_in_double_brackets(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    static const char text[] =
        "[WarmPool]\nMaxTasks = 5\n[[Warm]]\nImage = \"a:1\"\n[[Warm]]\ntaskdefinition = \"b\"\n"
        "Tasks = 2\nMaxAge = \"1h\"\nCpu = 512\nTaskRole = \"r\"\nPlatform = \"1.4.0\"\n"
        "[Warm.Schedule]\n\"Mon-Fri 08:00-19:00 Asia/Tokyo\" = 4\n\"22:00-06:00\" = 0\n";
    assert_int_equal(load(text, &config, &err), 0);
    assert_int_equal(config.warm_count, 2);
    assert_int_equal(config.warm_tasks_maximum, 5);
    assert_int_equal(config.unknown.length, 0);
    assert_int_equal(config.notes.length, 0);
    const struct config_warm *entry = &config.warm[0];
    assert_int_equal(entry->line, 3);
    assert_string_equal(entry->image, "a:1");
    assert_true(entry->tasks == 1 && entry->idle_time_ms == 1800000);
    assert_true(entry->max_age_ms == 4 * 3600000 && entry->schedule.count == 0);
    entry = &config.warm[1];
    assert_null(entry->image);
    assert_string_equal(entry->task_definition, "b");
    assert_string_equal(entry->task_role, "r");
    assert_string_equal(entry->platform, "1.4.0");
    assert_true(entry->tasks == 2 && entry->max_age_ms == 3600000 && entry->size.cpu_units == 512);
    assert_int_equal(entry->schedule.count, 2);
    assert_string_equal(entry->schedule.ranges[0].zone_name, "Asia/Tokyo");
    assert_int_equal(schedule_most(&entry->schedule, 1), 4);
    config_done(&config);
    assert_int_equal(load("", &config, &err), 0);
    assert_int_equal(config.warm_count, 0);
    config_done(&config);
}

static void accepts_values_of_the_fargate_driver(void **state)
{
    (void)state;
    static const char text[] = "LogFormat = \"text-simple\"\n[SSH]\nPort = 0\n";
    struct config config;
    struct error err = {0};
    clear_environment();
    assert_int_equal(load(text, &config, &err), 0);
    assert_int_equal(config.log_format, LOG_TEXT);
    assert_int_equal(config.ssh_port, 22);
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

static void a_missing_file_is_a_usage_error(void **state)
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
        cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(never_guesses_the_backend),
        cmocka_unit_test(errors_about_values_name_the_place),
        cmocka_unit_test(defaults_are_those_of_the_schema),
        cmocka_unit_test(reads_tables_in_double_brackets),
        cmocka_unit_test(accepts_values_of_the_fargate_driver),
        cmocka_unit_test(options_win_over_job_variables_over_the_file),
        cmocka_unit_test(a_missing_file_is_a_usage_error),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
