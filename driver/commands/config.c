/* SPDX-License-Identifier: MIT */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend/backend.h"
#include "driver/commands/command.h"

#define WRITE_MS 10000

/* For an empty path the runner uses its config.toml. */
static bool add_directory(cJSON *root, const char *name, const char *path)
{
    return path[0] == '\0' || cJSON_AddStringToObject(root, name, path) != NULL;
}

static cJSON *to_json(const struct backend_directories *directories)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *driver = root == NULL ? NULL : cJSON_AddObjectToObject(root, "driver");
    if (driver == NULL || cJSON_AddStringToObject(driver, "name", "Berth") == NULL ||
        cJSON_AddStringToObject(driver, "version", BERTH_VERSION) == NULL ||
        !add_directory(root, "builds_dir", directories->builds) ||
        !add_directory(root, "cache_dir", directories->cache) ||
        cJSON_AddFalseToObject(root, "builds_dir_is_shared") == NULL) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

int stage_config(struct command_context *context, struct result *out_result, struct error *err)
{
    char job[RUNNER_JOB_KEY_BYTES];
    struct backend_directories directories;
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || backend->check(context->config, err) < 0 ||
        runner_job_key(context->runner, job, err) < 0 ||
        backend->directories(context->config, job, &directories, err) < 0) {
        return -1;
    }
    cJSON *root = to_json(&directories);
    char *text = root == NULL ? NULL : cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (text == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the configuration");
    }
    int result = fd_write_all(STDOUT_FILENO, text, strlen(text), clock_deadline_ms(WRITE_MS));
    cJSON_free(text);
    if (result < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write the configuration to stdout");
    }
    *out_result = (struct result){.kind = RESULT_SUCCESS};
    return 0;
}
