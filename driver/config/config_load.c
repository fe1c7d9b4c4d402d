/* SPDX-License-Identifier: MIT */
#include "driver/config/config_load.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/nearest.h"
#include "driver/base/home.h"
#include "driver/config/config_file.h"
#include "driver/config/schema.h"
#include "driver/runner/runner.h"

#define NOTES_CEILING_BYTES (64UL << 10)
#define SSH_PORT            22 /* Port = 0 means the default */

/* /var/lib for root, else the user's own state directory. */
static int state_directory(char out[PATH_MAX], struct error *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = home_directory();
    int length = 0;
    if (geteuid() == 0) {
        length = snprintf(out, PATH_MAX, "/var/lib/berth");
    } else if (state != NULL && state[0] == '/') {
        length = snprintf(out, PATH_MAX, "%s/berth", state);
    } else if (home != NULL) {
        length = snprintf(out, PATH_MAX, "%s/.local/state/berth", home);
    }
    if (length <= 0 || length >= PATH_MAX) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "no place for task metadata: HOME is not set and this user has no home "
                        "directory");
        return error_hint(err, "set [TaskMetadata] Directory and [Local] Directory in the "
                               "configuration");
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

/* A value that does not come from the file has no line there. */
static void forget_line(struct config *config, const void *field)
{
    size_t offset = (size_t)((const char *)field - (const char *)config);
    for (size_t i = 0; i < schema_count; i++) {
        if (schema_rows[i].offset == offset && !schema_is_entry(&schema_rows[i])) {
            config->lines[i] = 0;
        }
    }
}

/* A job variable wins over the file, an option over both. */
static int override(struct config *config, char **field, const char *variable, const char *option,
                    struct error *err)
{
    const char *text = option != NULL     ? option
                       : variable == NULL ? NULL
                                          : runner_variable(variable);
    if (text == NULL) {
        return 0;
    }
    forget_line(config, field);
    return config_set_text(field, text, err);
}

/* Anyone who can edit a pipeline can set a job variable, so a list restricts its values. The value
 * in the file itself is always allowed. */
static int override_allowed(struct config *config, char **field, const char *variable,
                            const char *option, const struct config_list *list,
                            const char *list_name, struct error *err)
{
    const char *text = runner_variable(variable);
    if (option == NULL && text != NULL && list->named &&
        (*field == NULL || strcmp(*field, text) != 0) && !config_list_matches(list, text)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job variable %s is '%s', which [Fargate] %s does not allow", variable,
                         text, list_name);
    }
    return override(config, field, variable, option, err);
}

static int append_options(struct config_list *list, const struct option_list *more,
                          struct error *err)
{
    for (size_t i = 0; i < more->count; i++) {
        if (list->count == CONFIG_LIST_CEILING) {
            return error_set(err, ERROR_USAGE, 0, "'%s': more than %d entries", more->entries[i],
                             CONFIG_LIST_CEILING);
        }
        list->entries[list->count] = NULL;
        if (config_set_text(&list->entries[list->count], more->entries[i], err) < 0) {
            return -1;
        }
        list->count++;
        list->from_options++;
    }
    return 0;
}

static int apply_docker_options(struct config *config, const struct config_options *options,
                                struct error *err)
{
    struct config_docker *docker = &config->docker;
    docker->image_is_fixed = options->image != NULL;
    docker->no_mount = options->no_mount;
    if (override(config, &docker->image, NULL, options->image, err) < 0 ||
        override(config, &docker->workdir, NULL, options->workdir, err) < 0 ||
        override(config, &docker->user, NULL, options->user, err) < 0 ||
        append_options(&docker->volumes, &options->volumes, err) < 0) {
        return -1;
    }
    return append_options(&docker->environment, &options->environment, err);
}

static int apply_options(struct config *config, const struct config_options *options,
                         struct error *err)
{
    struct nearest nearest;
    if (options->log_level != NULL && !log_level_parse(options->log_level, &config->log_level)) {
        nearest = log_level_nearest(options->log_level);
        (void)error_set(err, ERROR_OPTION, 0,
                        "--log-level: '%s' is not one of debug, info, warn, error, fatal",
                        options->log_level);
        return nearest_hint(&nearest, err);
    }
    if (options->log_format != NULL &&
        !log_format_parse(options->log_format, &config->log_format)) {
        nearest = log_format_nearest(options->log_format);
        (void)error_set(err, ERROR_OPTION, 0, "--log-format: '%s' is not text or json",
                        options->log_format);
        return nearest_hint(&nearest, err);
    }
    if (options->debug) {
        config->log_level = LOG_DEBUG;
    }
    struct config_fargate *fargate = &config->fargate;
    /* 'exec --image' runs a container, whatever backend the file sets for jobs. */
    bool wants_container = options->is_exec && options->image != NULL;
    const char *backend = options->backend == NULL && wants_container ? "docker" : options->backend;
    const char *agent = getenv("BERTH_AGENT");
    agent = agent != NULL && agent[0] != '\0' ? agent : NULL;
    if (override(config, &config->local_agent, NULL, agent, err) < 0 ||
        override(config, &config->docker.agent, NULL, agent, err) < 0 ||
        apply_docker_options(config, options, err) < 0 ||
        override(config, &config->log_file, NULL, options->log_file, err) < 0 ||
        override(config, &config->backend, NULL, backend, err) < 0 ||
        override_allowed(config, &fargate->task_definition, "FARGATE_TASK_DEFINITION",
                         options->task_definition, &fargate->allowed_task_definitions,
                         "AllowedTaskDefinitions", err) < 0 ||
        override_allowed(config, &fargate->platform_version, "FARGATE_PLATFORM_VERSION",
                         options->platform_version, &fargate->allowed_platform_versions,
                         "AllowedPlatformVersions", err) < 0) {
        return -1;
    }
    if (config->log_file != NULL && config->log_file[0] == '\0') {
        return config_set_text(&config->log_file, NULL, err); /* as in the Fargate driver */
    }
    return 0;
}

int config_load(struct config *config, const struct config_options *options, struct error *err)
{
    const char *path = options->path;
    *config =
        (struct config){.log_level = LOG_INFO, .log_format = LOG_TEXT, .is_exec = options->is_exec};
    buffer_init(&config->unknown, NOTES_CEILING_BYTES);
    buffer_init(&config->notes, NOTES_CEILING_BYTES);
    if (config_defaults_load(config, err) < 0) {
        return -1;
    }
    if (path == NULL && !options->only_a_named_file && access(CONFIG_DEFAULT_PATH, R_OK) == 0) {
        path = CONFIG_DEFAULT_PATH;
    }
    if (path != NULL && (config_set_text(&config->path, path, err) < 0 ||
                         config_file_load(config, path, err) < 0)) {
        return -1;
    }
    config->ssh_port = config->ssh_port == 0 ? SSH_PORT : config->ssh_port;
    if (apply_options(config, options, err) < 0 ||
        default_directory(&config->metadata_directory, "metadata", err) < 0) {
        return -1;
    }
    return default_directory(&config->local_directory, "local", err);
}
