/* SPDX-License-Identifier: MIT */
#include "driver/backend/backend.h"

#include <stddef.h>
#include <strings.h>

#include "common/nearest.h"
#include "driver/base/program.h"

static const struct backend *const backends[] = {&backend_local, &backend_docker, &backend_ecs};
#define BACKEND_COUNT (sizeof(backends) / sizeof(backends[0]))

const struct backend *backend_find(const char *name)
{
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        if (strcasecmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

static void no_backend_error(const struct config *config, struct error *err)
{
    if (config->path == NULL) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "no backend: no --config, and '" CONFIG_DEFAULT_PATH "' cannot be read");
        (void)error_hint(err, "set --config, or write a file with '%s init'", program_name());
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
    char out[CONFIG_PLACE_BYTES];
    const char *place = config_place(config, &config->backend, "--backend", out);
    struct nearest nearest = nearest_begin(config->backend);
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        nearest_try(&nearest, backends[i]->name);
    }
    (void)error_set(err, place == out ? ERROR_USAGE : ERROR_OPTION, 0, "%s: unknown backend '%s'",
                    place, config->backend);
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
