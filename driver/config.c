/* SPDX-License-Identifier: MIT */
#include "driver/config.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/config_file.h"
#include "driver/runner.h"

#define WARNINGS_CEILING_BYTES (64UL << 10)

static struct buffer warnings = {.ceiling_bytes = WARNINGS_CEILING_BYTES};

int config_set_text(char **field, const char *text, struct error *err)
{
    char *copy = text == NULL ? NULL : strdup(text);
    if (text != NULL && copy == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot keep the configuration");
    }
    free(*field);
    *field = copy;
    return 0;
}

void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->entries[i]);
    }
    *list = (struct config_list){0};
}

/* Where state of this program belongs: /var/lib for root, else the user's own state directory. */
static int state_directory(char out[PATH_MAX], struct error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length = 0;
    if (geteuid() == 0) {
        length = snprintf(out, PATH_MAX, "/var/lib/berth");
    } else if (state != NULL && state[0] == '/') {
        length = snprintf(out, PATH_MAX, "%s/berth", state);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(out, PATH_MAX, "%s/.local/state/berth", home);
    }
    if (length <= 0 || length >= PATH_MAX) {
        return error_set(
            err, ERROR_USAGE, 0,
            "no place for task metadata: HOME is not set; set [TaskMetadata] Directory "
            "and [Local] Directory in the configuration");
    }
    return 0;
}

static int default_directory(char **field, const char *name, struct error *err)
{
    char base[PATH_MAX];
    char path[PATH_MAX + 16];
    if (*field != NULL) {
        return 0;
    }
    if (state_directory(base, err) < 0) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", base, name);
    return config_set_text(field, path, err);
}

static void set_defaults(struct config *config)
{
    *config = (struct config){
        .log_level = LOG_INFO,
        .log_format = LOG_TEXT,
        .ssh_port = 22,
        .ssh_connect_timeout_ms = 60 * 1000,
        .ssh_keepalive_ms = 15 * 1000,
        .ssh_reattach_timeout_ms = CONFIG_REATTACH_TIMEOUT_MS,
        .cancel_grace_ms = CONFIG_CANCEL_GRACE_MS,
        .cleanup_timeout_ms = 60 * 1000,
        .fargate =
            {
                .spot_fallback = true,
                .launch_timeout_ms = 10 * 60 * 1000,
                .watch_interval_ms = 15 * 1000,
                .calls_per_second = 10,
            },
        .price = {.spot_factor = 0.3},
        .docker = {.pull_timeout_ms = 30LL * 60 * 1000, .service_timeout_ms = 30 * 1000},
    };
}

/* A job variable wins over the file, an option over both. */
static int override(char **field, const char *variable, const char *option, struct error *err)
{
    const char *text = option != NULL     ? option
                       : variable == NULL ? NULL
                                          : runner_variable(variable);
    return text == NULL ? 0 : config_set_text(field, text, err);
}

bool config_list_matches(const struct config_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (fnmatch(list->entries[i], text, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* Whoever writes a pipeline can set a job variable: a list says what it may hold. What the file
 * itself names needs no permission. */
static int override_allowed(char **field, const char *variable, const char *option,
                            const struct config_list *list, const char *list_name,
                            struct error *err)
{
    const char *text = runner_variable(variable);
    if (option == NULL && text != NULL && list->named &&
        (*field == NULL || strcmp(*field, text) != 0) && !config_list_matches(list, text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', which [Fargate] %s does not allow", variable,
                         text, list_name);
    }
    return override(field, variable, option, err);
}

static int append_options(struct config_list *list, const struct option_list *more,
                          struct error *err)
{
    for (size_t i = 0; i < more->count; i++) {
        if (list->count == CONFIG_LIST_CEILING) {
            return error_set(err, ERROR_USAGE, 0, "'%s' is one entry more than the %d there can be",
                             more->entries[i], CONFIG_LIST_CEILING);
        }
        list->entries[list->count] = NULL;
        if (config_set_text(&list->entries[list->count], more->entries[i], err) < 0) {
            return -1;
        }
        list->count++;
    }
    return 0;
}

static int apply_docker_options(struct config_docker *docker, const struct config_options *options,
                                struct error *err)
{
    docker->image_is_fixed = options->image != NULL;
    docker->no_mount = options->no_mount;
    if (override(&docker->image, NULL, options->image, err) < 0 ||
        override(&docker->workdir, NULL, options->workdir, err) < 0 ||
        override(&docker->user, NULL, options->user, err) < 0 ||
        append_options(&docker->volumes, &options->volumes, err) < 0) {
        return -1;
    }
    return append_options(&docker->environment, &options->environment, err);
}

static int apply_options(struct config *config, const struct config_options *options,
                         struct error *err)
{
    if (options->log_level != NULL && !log_level_parse(options->log_level, &config->log_level)) {
        return error_set(err, ERROR_USAGE, 0,
                         "--log-level: '%s' is not one of debug, info, warn, error, fatal",
                         options->log_level);
    }
    if (options->log_format != NULL &&
        !log_format_parse(options->log_format, &config->log_format)) {
        return error_set(err, ERROR_USAGE, 0, "--log-format: '%s' is not text or json",
                         options->log_format);
    }
    if (options->debug) {
        config->log_level = LOG_DEBUG;
    }
    struct config_fargate *fargate = &config->fargate;
    const char *agent = getenv("BERTH_AGENT");
    agent = agent != NULL && agent[0] != '\0' ? agent : NULL;
    if (override(&config->local_agent, NULL, agent, err) < 0 ||
        override(&config->docker.agent, NULL, agent, err) < 0 ||
        apply_docker_options(&config->docker, options, err) < 0 ||
        override(&config->log_file, NULL, options->log_file, err) < 0 ||
        override(&config->backend, NULL, options->backend, err) < 0 ||
        override_allowed(&fargate->task_definition, "FARGATE_TASK_DEFINITION",
                         options->task_definition, &fargate->allowed_task_definitions,
                         "AllowedTaskDefinitions", err) < 0 ||
        override_allowed(&fargate->platform_version, "FARGATE_PLATFORM_VERSION",
                         options->platform_version, &fargate->allowed_platform_versions,
                         "AllowedPlatformVersions", err) < 0) {
        return -1;
    }
    if (config->log_file != NULL && config->log_file[0] == '\0') {
        return config_set_text(&config->log_file, NULL, err); /* as in the Fargate driver */
    }
    return 0;
}

static int check_host_key(const struct config *config, struct error *err)
{
    const char *text = config->ssh_host_key;
    if (text == NULL || strcmp(text, "strict") == 0 || strcmp(text, "accept-new") == 0) {
        return 0;
    }
    return error_set(err, ERROR_USAGE, 0,
                     "%s: SSH.HostKey: wanted \"strict\" or \"accept-new\", found \"%s\"",
                     config->path, text);
}

int config_load(struct config *config, const struct config_options *options, struct error *err)
{
    set_defaults(config);
    if (options->path != NULL && (config_set_text(&config->path, options->path, err) < 0 ||
                                  config_file_load(config, options->path, &warnings, err) < 0)) {
        return -1;
    }
    if (apply_options(config, options, err) < 0 || check_host_key(config, err) < 0 ||
        (config->fargate.container_name == NULL &&
         config_set_text(&config->fargate.container_name, "ci-coordinator", err) < 0) ||
        (config->ssh_username == NULL && config_set_text(&config->ssh_username, "root", err) < 0) ||
        default_directory(&config->metadata_directory, "metadata", err) < 0) {
        return -1;
    }
    return default_directory(&config->local_directory, "local", err);
}

void config_done(struct config *config)
{
    char **const texts[] = {
        &config->path,
        &config->log_file,
        &config->backend,
        &config->fargate.cluster,
        &config->fargate.region,
        &config->fargate.task_definition,
        &config->fargate.platform_version,
        &config->fargate.container_name,
        &config->fargate.task_role,
        &config->fargate.execution_role,
        &config->aws_profile,
        &config->metadata_directory,
        &config->ssh_username,
        &config->ssh_host_key,
        &config->local_directory,
        &config->local_agent,
        &config->docker.host,
        &config->docker.certificate_directory,
        &config->docker.image,
        &config->docker.pull_policy,
        &config->docker.network,
        &config->docker.user,
        &config->docker.agent,
        &config->docker.workdir,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    struct config_list *const lists[] = {
        &config->fargate.subnets,
        &config->fargate.security_groups,
        &config->fargate.capacity_providers,
        &config->fargate.tags,
        &config->fargate.allowed_task_definitions,
        &config->fargate.allowed_platform_versions,
        &config->fargate.allowed_task_roles,
        &config->fargate.allowed_execution_roles,
        &config->aws_session_tags,
        &config->local_pass_environment,
        &config->docker.allowed_images,
        &config->docker.allowed_services,
        &config->docker.volumes,
        &config->docker.environment,
        &config->docker.labels,
        &config->docker.cap_add,
        &config->docker.cap_drop,
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        config_list_clear(lists[i]);
    }
}

void config_log_warnings(void)
{
    for (char *line = warnings.bytes; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        log_warn("%s", line);
        line = end == NULL ? NULL : end + 1;
    }
    buffer_done(&warnings);
}
