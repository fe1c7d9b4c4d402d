/* SPDX-License-Identifier: MIT */
#include "driver/backend/backend.h"

#include <stddef.h>
#include <strings.h>

#include "common/nearest.h"

static const struct backend *const backends[] = {&backend_local, &backend_docker, &backend_ecs};
#define HOUR_MS        (60LL * 60 * 1000)
#define AGENT_IDLE_MS  HOUR_MS /* the agent's default */
#define HELPER_IDLE_MS (7 * 24 * HOUR_MS)
#define BACKEND_COUNT  (sizeof(backends) / sizeof(backends[0]))

const struct backend *backend_find(const char *name)
{
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        if (strcasecmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

static int64_t later_ms(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t backend_idle_ms(const struct backend_task *task, enum metadata_container container)
{
    const struct metadata *metadata = task->metadata;
    int64_t timeout_ms = metadata->origin.timeout_s * 1000; /* 0: not known */
    if (!metadata->has_helper) {
        return task->login_within_ms;
    }
    if (container == METADATA_HELPER) { /* idle for as long as the job's script runs */
        return later_ms(HELPER_IDLE_MS, timeout_ms + AGENT_IDLE_MS);
    }
    return timeout_ms > AGENT_IDLE_MS || task->login_within_ms > 0
               ? later_ms(AGENT_IDLE_MS, later_ms(timeout_ms, task->login_within_ms))
               : 0;
}

static void no_backend_error(const struct config *config, struct error *err)
{
    if (config->path == NULL) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "no backend: no --config, and '" CONFIG_DEFAULT_PATH "' cannot be read");
        (void)error_hint(err, "set --config, or write a file with 'berth-driver init'");
    } else {
        (void)error_set(err, ERROR_USAGE, 0, "'%s' sets no backend%s", config->path,
                        config->unknown_at_root ? ", and has an unknown key or table" : "");
        (void)error_hint(err, "write Backend = \"docker\" (or \"ecs\" or \"local\") above its "
                              "first table, or a table [Fargate] for ECS");
    }
}

static const struct backend *find_or_suggest(const struct config *config, struct error *err)
{
    const struct backend *backend = backend_find(config->backend);
    if (backend != NULL) {
        return backend;
    }
    char place[CONFIG_PLACE_BYTES];
    struct nearest nearest = nearest_begin(config->backend);
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        nearest_try(&nearest, backends[i]->name);
    }
    (void)error_set(err, ERROR_USAGE, 0, "%s: unknown backend '%s'",
                    config_place(config, &config->backend, "--backend", place), config->backend);
    (void)(nearest.best != NULL ? nearest_hint(&nearest, err)
                                : error_hint(err, "use 'docker', 'ecs' or 'local'"));
    return NULL;
}

const struct backend *backend_choose(const struct config *config, struct error *err)
{
    if (config->backend != NULL) {
        return find_or_suggest(config, err);
    }
    if (config->fargate.named) {
        return &backend_ecs;
    }
    /* A misspelt 'Backend' or '[Fargate]' must not run jobs on this host. */
    if (config->is_exec && !config->unknown_at_root) {
        return &backend_local;
    }
    no_backend_error(config, err);
    return NULL;
}
