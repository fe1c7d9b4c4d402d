/* SPDX-License-Identifier: MIT */
#include "driver/config_file.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/fd.h"
#include "common/parse.h"
#include "driver/toml.h"

enum key_type {
    KEY_TEXT,     /* char * */
    KEY_BOOL,     /* bool */
    KEY_TRISTATE, /* enum config_tristate */
    KEY_INTEGER,  /* int64_t */
    KEY_NUMBER,   /* double, not negative */
    KEY_DURATION, /* int64_t, milliseconds: "30s" or whole seconds */
    KEY_SIZE,     /* int64_t, bytes: "512MiB" or a number of bytes */
    KEY_CPUS,     /* int64_t, billionths of a processor: 2, 1.5 or "1.5" */
    KEY_LIST,     /* struct config_list: a string or an array of strings */
    KEY_LEVEL,    /* enum log_level */
    KEY_FORMAT,   /* enum log_format */
    KEY_IGNORED,  /* known, and without effect: 'why' says so */
};

struct key_row {
    const char *table; /* NULL: the root */
    const char *name;
    enum key_type type;
    size_t offset;
    int64_t minimum, maximum; /* of integers, milliseconds, or a list's length */
    const char *why;
};

#define FIELD(name) offsetof(struct config, name)
#define HOUR_MS     (3600LL * 1000)

static const struct key_row rows[] = {
    {NULL, "LogLevel", KEY_LEVEL, FIELD(log_level), 0, 0, NULL},
    {NULL, "LogFormat", KEY_FORMAT, FIELD(log_format), 0, 0, NULL},
    {NULL, "LogFile", KEY_TEXT, FIELD(log_file), 0, 0, NULL},
    {NULL, "Backend", KEY_TEXT, FIELD(backend), 0, 0, NULL},
    {NULL, "CancelGrace", KEY_DURATION, FIELD(cancel_grace_ms), 0, HOUR_MS, NULL},
    {NULL, "CleanupTimeout", KEY_DURATION, FIELD(cleanup_timeout_ms), 1000, HOUR_MS, NULL},
    {"Fargate", "Cluster", KEY_TEXT, FIELD(fargate.cluster), 0, 0, NULL},
    {"Fargate", "Region", KEY_TEXT, FIELD(fargate.region), 0, 0, NULL},
    {"Fargate", "Subnet", KEY_LIST, FIELD(fargate.subnets), 0, CONFIG_SUBNET_CEILING, NULL},
    {"Fargate", "Subnets", KEY_LIST, FIELD(fargate.subnets), 0, CONFIG_SUBNET_CEILING, NULL},
    {"Fargate", "SecurityGroup", KEY_LIST, FIELD(fargate.security_groups), 0,
     CONFIG_SECURITY_GROUP_CEILING, NULL},
    {"Fargate", "SecurityGroups", KEY_LIST, FIELD(fargate.security_groups), 0,
     CONFIG_SECURITY_GROUP_CEILING, NULL},
    {"Fargate", "TaskDefinition", KEY_TEXT, FIELD(fargate.task_definition), 0, 0, NULL},
    {"Fargate", "PlatformVersion", KEY_TEXT, FIELD(fargate.platform_version), 0, 0, NULL},
    {"Fargate", "EnablePublicIP", KEY_BOOL, FIELD(fargate.enable_public_ip), 0, 0, NULL},
    {"Fargate", "UsePublicIP", KEY_TRISTATE, FIELD(fargate.use_public_ip), 0, 0, NULL},
    {"Fargate", "PropagateTags", KEY_BOOL, FIELD(fargate.propagate_tags), 0, 0, NULL},
    {"Fargate", "EnableExecuteCommand", KEY_BOOL, FIELD(fargate.enable_execute_command), 0, 0,
     NULL},
    {"Fargate", "ContainerName", KEY_TEXT, FIELD(fargate.container_name), 0, 0, NULL},
    {"Fargate", "Spot", KEY_BOOL, FIELD(fargate.spot), 0, 0, NULL},
    {"Fargate", "SpotFallback", KEY_BOOL, FIELD(fargate.spot_fallback), 0, 0, NULL},
    {"Fargate", "CapacityProviders", KEY_LIST, FIELD(fargate.capacity_providers), 0, 20, NULL},
    {"Fargate", "Tags", KEY_LIST, FIELD(fargate.tags), 0, 48, NULL},
    {"Fargate", "EnableManagedTags", KEY_BOOL, FIELD(fargate.managed_tags), 0, 0, NULL},
    {"Fargate", "Cpu", KEY_INTEGER, FIELD(fargate.size.cpu_units), 256, 32768, NULL},
    {"Fargate", "Memory", KEY_INTEGER, FIELD(fargate.size.memory_mib), 512, 249856, NULL},
    {"Fargate", "EphemeralStorage", KEY_INTEGER, FIELD(fargate.size.storage_gib), 21, 200, NULL},
    {"Fargate", "TaskRole", KEY_TEXT, FIELD(fargate.task_role), 0, 0, NULL},
    {"Fargate", "ExecutionRole", KEY_TEXT, FIELD(fargate.execution_role), 0, 0, NULL},
    {"Fargate", "MaxCpu", KEY_INTEGER, FIELD(fargate.maximum.cpu_units), 0, 32768, NULL},
    {"Fargate", "MaxMemory", KEY_INTEGER, FIELD(fargate.maximum.memory_mib), 0, 249856, NULL},
    {"Fargate", "MaxEphemeralStorage", KEY_INTEGER, FIELD(fargate.maximum.storage_gib), 0, 200,
     NULL},
    {"Fargate", "AllowedTaskDefinitions", KEY_LIST, FIELD(fargate.allowed_task_definitions), 0,
     CONFIG_LIST_CEILING, NULL},
    {"Fargate", "AllowedPlatformVersions", KEY_LIST, FIELD(fargate.allowed_platform_versions), 0,
     CONFIG_LIST_CEILING, NULL},
    {"Fargate", "AllowedTaskRoles", KEY_LIST, FIELD(fargate.allowed_task_roles), 0,
     CONFIG_LIST_CEILING, NULL},
    {"Fargate", "AllowedExecutionRoles", KEY_LIST, FIELD(fargate.allowed_execution_roles), 0,
     CONFIG_LIST_CEILING, NULL},
    {"Fargate", "LaunchTimeout", KEY_DURATION, FIELD(fargate.launch_timeout_ms), 1000, 24 * HOUR_MS,
     NULL},
    {"Fargate", "WatchInterval", KEY_DURATION, FIELD(fargate.watch_interval_ms), 500, HOUR_MS,
     NULL},
    {"Fargate", "CallsPerSecond", KEY_INTEGER, FIELD(fargate.calls_per_second), 1, 100, NULL},
    {"Price", "VcpuHour", KEY_NUMBER, FIELD(price.vcpu_hour), 0, 0, NULL},
    {"Price", "GibHour", KEY_NUMBER, FIELD(price.gib_hour), 0, 0, NULL},
    {"Price", "SpotFactor", KEY_NUMBER, FIELD(price.spot_factor), 0, 0, NULL},
    {"AWS", "Profile", KEY_TEXT, FIELD(aws_profile), 0, 0, NULL},
    {"AWS", "SessionTags", KEY_LIST, FIELD(aws_session_tags), 0, 50, NULL},
    {"TaskMetadata", "Directory", KEY_TEXT, FIELD(metadata_directory), 0, 0, NULL},
    {"SSH", "Username", KEY_TEXT, FIELD(ssh_username), 0, 0, NULL},
    {"SSH", "Port", KEY_INTEGER, FIELD(ssh_port), 1, 65535, NULL},
    {"SSH", "HostKey", KEY_TEXT, FIELD(ssh_host_key), 0, 0, NULL},
    {"SSH", "ConnectTimeout", KEY_DURATION, FIELD(ssh_connect_timeout_ms), 100, HOUR_MS, NULL},
    {"SSH", "Keepalive", KEY_DURATION, FIELD(ssh_keepalive_ms), 0, HOUR_MS, NULL},
    {"SSH", "ReattachTimeout", KEY_DURATION, FIELD(ssh_reattach_timeout_ms), 0, HOUR_MS, NULL},
    {"SSH", "PrivateKeyPath", KEY_IGNORED, 0, 0, 0,
     "every job gets a key of its own; remove the line"},
    {"Local", "Directory", KEY_TEXT, FIELD(local_directory), 0, 0, NULL},
    {"Local", "Agent", KEY_TEXT, FIELD(local_agent), 0, 0, NULL},
    {"Local", "PassEnvironment", KEY_LIST, FIELD(local_pass_environment), 0, CONFIG_LIST_CEILING,
     NULL},
    {"Docker", "Host", KEY_TEXT, FIELD(docker.host), 0, 0, NULL},
    {"Docker", "TLSVerify", KEY_TRISTATE, FIELD(docker.tls_verify), 0, 0, NULL},
    {"Docker", "CertPath", KEY_TEXT, FIELD(docker.certificate_directory), 0, 0, NULL},
    {"Docker", "Image", KEY_TEXT, FIELD(docker.image), 0, 0, NULL},
    {"Docker", "AllowedImages", KEY_LIST, FIELD(docker.allowed_images), 0, CONFIG_LIST_CEILING,
     NULL},
    {"Docker", "AllowedServices", KEY_LIST, FIELD(docker.allowed_services), 0, CONFIG_LIST_CEILING,
     NULL},
    {"Docker", "PullPolicy", KEY_TEXT, FIELD(docker.pull_policy), 0, 0, NULL},
    {"Docker", "PullTimeout", KEY_DURATION, FIELD(docker.pull_timeout_ms), 1000, 24 * HOUR_MS,
     NULL},
    {"Docker", "ServiceTimeout", KEY_DURATION, FIELD(docker.service_timeout_ms), 0, HOUR_MS, NULL},
    {"Docker", "Memory", KEY_SIZE, FIELD(docker.memory_bytes), 6L << 20, INT64_MAX, NULL},
    {"Docker", "CPUs", KEY_CPUS, FIELD(docker.nano_cpus), 10000000, INT64_MAX, NULL},
    {"Docker", "PidsLimit", KEY_INTEGER, FIELD(docker.pids_limit), 1, 1LL << 22, NULL},
    {"Docker", "Network", KEY_TEXT, FIELD(docker.network), 0, 0, NULL},
    {"Docker", "Volumes", KEY_LIST, FIELD(docker.volumes), 0, CONFIG_LIST_CEILING, NULL},
    {"Docker", "Environment", KEY_LIST, FIELD(docker.environment), 0, CONFIG_LIST_CEILING, NULL},
    {"Docker", "Labels", KEY_LIST, FIELD(docker.labels), 0, CONFIG_LIST_CEILING, NULL},
    {"Docker", "User", KEY_TEXT, FIELD(docker.user), 0, 0, NULL},
    {"Docker", "CapAdd", KEY_LIST, FIELD(docker.cap_add), 0, CONFIG_LIST_CEILING, NULL},
    {"Docker", "CapDrop", KEY_LIST, FIELD(docker.cap_drop), 0, CONFIG_LIST_CEILING, NULL},
    {"Docker", "Privileged", KEY_BOOL, FIELD(docker.privileged), 0, 0, NULL},
    {"Docker", "Publish", KEY_TRISTATE, FIELD(docker.publish), 0, 0, NULL},
    {"Docker", "Agent", KEY_TEXT, FIELD(docker.agent), 0, 0, NULL},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* One file on its way into one config. */
struct load {
    const char *path;
    struct config *config;
    struct buffer *warnings;
    struct error *err;
};

static const char *wanted(const struct key_row *row)
{
    static const char *const texts[] = {
        [KEY_TEXT] = "a string",
        [KEY_BOOL] = "true or false",
        [KEY_TRISTATE] = "true or false",
        [KEY_INTEGER] = "a whole number",
        [KEY_NUMBER] = "a number that is not negative",
        [KEY_DURATION] = "a duration such as \"30s\" or \"5m\", or a number of seconds",
        [KEY_SIZE] = "a size such as \"512MiB\" or \"2G\", or a number of bytes",
        [KEY_CPUS] = "a number of processors such as 2 or 1.5",
        [KEY_LIST] = "a string or an array of strings",
        [KEY_LEVEL] = "one of \"debug\", \"info\", \"warn\", \"error\", \"fatal\"",
        [KEY_FORMAT] = "\"text\" or \"json\"",
        [KEY_IGNORED] = "anything",
    };
    return texts[row->type];
}

static const char *prefix(const struct key_row *row)
{
    return row->table == NULL ? "" : row->table;
}

static int wrong(const struct load *load, const struct key_row *row, const struct toml_value *value,
                 const char *what)
{
    return error_set(load->err, ERROR_USAGE, 0, "%s:%u: %s%s%s: %s", load->path, toml_line(value),
                     prefix(row), row->table == NULL ? "" : ".", row->name, what);
}

static int wrong_type(const struct load *load, const struct key_row *row,
                      const struct toml_value *value)
{
    char what[256];
    const char *text = NULL;
    if (toml_get_string(value, &text, NULL) && strlen(text) < 80) {
        (void)snprintf(what, sizeof(what), "wanted %s, found \"%s\"", wanted(row), text);
    } else {
        (void)snprintf(what, sizeof(what), "wanted %s, found %s", wanted(row),
                       toml_type_name(toml_type(value)));
    }
    return wrong(load, row, value, what);
}

static int store_text(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(load, row, value);
    }
    /* An empty text is how people switch a key off. */
    return config_set_text(field, text[0] == '\0' ? NULL : text, load->err);
}

static int store_in_range(const struct load *load, const struct key_row *row,
                          const struct toml_value *value, int64_t number, const char *unit,
                          int64_t *field)
{
    if (number < row->minimum || number > row->maximum) {
        char what[128];
        (void)snprintf(what, sizeof(what), "wanted a value from %lld to %lld%s",
                       (long long)row->minimum, (long long)row->maximum, unit);
        return wrong(load, row, value, what);
    }
    *field = number;
    return 0;
}

static int store_number(const struct load *load, const struct key_row *row,
                        const struct toml_value *value, int64_t *field)
{
    int64_t number = 0;
    const char *text = NULL;
    bool duration = row->type == KEY_DURATION;
    bool size = row->type == KEY_SIZE;
    if (toml_get_integer(value, &number)) {
        if (duration && (number < 0 || number > INT64_MAX / 1000)) {
            return wrong_type(load, row, value);
        }
        number *= duration ? 1000 : 1;
    } else if ((!duration && !size) || !toml_get_string(value, &text, NULL) ||
               (duration ? parse_duration_ms(text, &number) : parse_size_bytes(text, &number)) <
                   0) {
        return wrong_type(load, row, value);
    }
    return store_in_range(load, row, value, number, duration ? " ms" : size ? " bytes" : "", field);
}

static int store_cpus(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, int64_t *field)
{
    double cpus = 0;
    int64_t whole = 0;
    const char *text = NULL;
    char *end = NULL;
    if (toml_get_integer(value, &whole)) {
        cpus = (double)whole;
    } else if (toml_get_string(value, &text, NULL)) {
        cpus = strtod(text, &end);
        if (end == text || *end != '\0') {
            return wrong_type(load, row, value);
        }
    } else if (!toml_get_float(value, &cpus)) {
        return wrong_type(load, row, value);
    }
    if (!(cpus >= 0.01 && cpus <= 65536)) {
        return wrong_type(load, row, value);
    }
    *field = (int64_t)(cpus * 1e9 + 0.5);
    return 0;
}

static int store_real(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, double *field)
{
    int64_t whole = 0;
    double number = 0;
    if (toml_get_integer(value, &whole)) {
        number = (double)whole;
    } else if (!toml_get_float(value, &number)) {
        return wrong_type(load, row, value);
    }
    if (!(number >= 0 && number < 1e9)) { /* NaN is neither */
        return wrong_type(load, row, value);
    }
    *field = number;
    return 0;
}

static int append_entry(const struct load *load, const struct key_row *row,
                        const struct toml_value *value, struct config_list *list)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL) || text[0] == '\0') {
        return wrong_type(load, row, value);
    }
    if (list->count == (size_t)row->maximum) {
        char what[64];
        (void)snprintf(what, sizeof(what), "more than %lld entries", (long long)row->maximum);
        return wrong(load, row, value, what);
    }
    list->entries[list->count] = NULL;
    if (config_set_text(&list->entries[list->count], text, load->err) < 0) {
        return -1;
    }
    list->count++;
    return 0;
}

static int store_list(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, struct config_list *list)
{
    config_list_clear(list);
    list->named = true;
    if (toml_type(value) == TOML_STRING) {
        return append_entry(load, row, value, list);
    }
    if (toml_type(value) != TOML_ARRAY) {
        return wrong_type(load, row, value);
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (append_entry(load, row, at, list) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_word(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    const char *text = NULL;
    if (!toml_get_string(value, &text, NULL)) {
        return wrong_type(load, row, value);
    }
    bool known =
        text[0] == '\0' /* as unset */ ||
        (row->type == KEY_LEVEL ? log_level_parse(text, field) : log_format_parse(text, field));
    return known ? 0 : wrong_type(load, row, value);
}

static int store_bool(const struct load *load, const struct key_row *row,
                      const struct toml_value *value, void *field)
{
    bool truth = false;
    if (!toml_get_bool(value, &truth)) {
        return wrong_type(load, row, value);
    }
    if (row->type == KEY_BOOL) {
        *(bool *)field = truth;
    } else {
        *(enum config_tristate *)field = truth ? CONFIG_YES : CONFIG_NO;
    }
    return 0;
}

static void warn(const struct load *load, const struct toml_value *value, const char *table,
                 const char *name, const char *why)
{
    if (buffer_printf(load->warnings, "%s:%u: %s%s%s: %s\n", load->path, toml_line(value),
                      table == NULL ? "" : table, table == NULL ? "" : ".", name, why) < 0) {
        return; /* the ceiling: whoever has that many warnings has enough of them */
    }
}

static int store(const struct load *load, const struct key_row *row, const struct toml_value *value)
{
    void *field = (char *)load->config + row->offset;
    switch (row->type) {
    case KEY_TEXT:
        return store_text(load, row, value, field);
    case KEY_BOOL:
    case KEY_TRISTATE:
        return store_bool(load, row, value, field);
    case KEY_INTEGER:
    case KEY_DURATION:
    case KEY_SIZE:
        return store_number(load, row, value, field);
    case KEY_NUMBER:
        return store_real(load, row, value, field);
    case KEY_CPUS:
        return store_cpus(load, row, value, field);
    case KEY_LIST:
        return store_list(load, row, value, field);
    case KEY_LEVEL:
    case KEY_FORMAT:
        return store_word(load, row, value, field);
    case KEY_IGNORED:
        warn(load, value, row->table, row->name, row->why);
        return 0;
    }
    return 0;
}

static bool same_table(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int store_entry(const struct load *load, const char *table, const struct toml_value *value)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (same_table(rows[i].table, table) && strcasecmp(rows[i].name, toml_key(value)) == 0) {
            return store(load, &rows[i], value);
        }
    }
    warn(load, value, table, toml_key(value), "unknown key, ignored");
    return 0;
}

/* The table's name as rows spell it, NULL when there is none of that name. */
static const char *find_table(const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].table != NULL && strcasecmp(rows[i].table, name) == 0) {
            return rows[i].table;
        }
    }
    return NULL;
}

static int store_table(const struct load *load, const char *table, const struct toml_value *value)
{
    if (toml_type(value) != TOML_TABLE) {
        return error_set(load->err, ERROR_USAGE, 0, "%s:%u: %s: wanted a table, found %s",
                         load->path, toml_line(value), table, toml_type_name(toml_type(value)));
    }
    for (const struct toml_value *at = toml_first(value); at != NULL; at = toml_next(at)) {
        if (store_entry(load, table, at) < 0) {
            return -1;
        }
    }
    return 0;
}

static int store_root(const struct load *load, const struct toml_value *root)
{
    for (const struct toml_value *at = toml_first(root); at != NULL; at = toml_next(at)) {
        const char *table = find_table(toml_key(at));
        int result = table != NULL ? store_table(load, table, at) : store_entry(load, NULL, at);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

int config_file_load(struct config *config, const char *path, struct buffer *warnings,
                     struct error *err)
{
    cleanup_toml struct toml_document *document = NULL;
    struct load load = {.path = path, .config = config, .warnings = warnings, .err = err};
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        err->kind = ERROR_USAGE; /* no retry of the runner makes the file appear */
        (void)error_wrap(err, "cannot read the configuration");
    } else {
        result =
            toml_parse(path, text.bytes == NULL ? "" : text.bytes, text.length, &document, err);
    }
    buffer_done(&text);
    return result < 0 ? -1 : store_root(&load, toml_root(document));
}
