/* SPDX-License-Identifier: MIT */
#include "driver/backend.h"

#include <string.h>
#include <strings.h>

#include "common/log.h"

static const struct backend *const backends[] = {&backend_local, &backend_docker};

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
    if (config->backend == NULL && config->fargate.cluster != NULL) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "'%s' has [Fargate] Cluster, which asks for the backend 'ecs', and that is "
                        "not in this version; set Backend = \"local\" to run jobs on this machine",
                        config->path != NULL ? config->path : "the configuration");
        return NULL;
    }
    /* Whoever says --image has a container in mind. */
    const char *unsaid = config->docker.image_is_fixed ? backend_docker.name : backend_local.name;
    const char *name = config->backend != NULL ? config->backend : unsaid;
    const struct backend *backend = backend_find(name);
    if (backend == NULL) {
        (void)error_set(
            err, ERROR_USAGE, 0,
            "the backend '%s' is not in this version; set Backend = \"local\" or \"docker\"", name);
        return NULL;
    }
    if (config->backend == NULL) {
        log_debug("no Backend is configured, using '%s'", name);
    }
    return backend;
}
