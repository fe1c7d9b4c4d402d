/* SPDX-License-Identifier: MIT */
#include "driver/backend.h"

#include <string.h>
#include <strings.h>

#include "common/log.h"

static const struct backend *const backends[] = {&backend_local, &backend_ecs};

const struct backend *backend_find(const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (strcasecmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

const struct backend *backend_choose(const struct config *config, struct error *err)
{
    const char *name = config->backend != NULL           ? config->backend
                       : config->fargate.cluster != NULL ? backend_ecs.name
                                                         : backend_local.name;
    const struct backend *backend = backend_find(name);
    if (backend == NULL) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "the backend '%s' is not in this version; set Backend to one of 'ecs' and "
                        "'local'",
                        name);
        return NULL;
    }
    if (config->backend == NULL) {
        log_debug("no Backend is configured, using '%s'", name);
    }
    return backend;
}
