/* SPDX-License-Identifier: MIT */
/*
 * services.h - the services of a job on ECS: containers of its task, which share the network with
 * the job.
 *
 * So a service's names mean 127.0.0.1 (agent option --host-name), and no two can have one port.
 * Where the words that start a service are known, from the job or from the image's registry, the
 * agent starts it and gets its variables over a volume that only this service and the helper have
 * (berth-agent service). Otherwise, and in a task without a helper, the variables are overrides of
 * RunTask, which users with access to DescribeTasks can read and which have little room. None is
 * ever in the task definition.
 *
 * A struct ecs_services belongs to the caller and is freed by ecs_services_done(), also after a
 * failure. Errors are ERROR_USAGE for what the job has wrong.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_SERVICES_H
#define BERTH_DRIVER_BACKEND_ECS_SERVICES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/backend/backend.h"
#include "driver/backend/ecs/definition.h"
#include "driver/registry/image_choice.h"

#define ECS_SERVICE_CEILING      7  /* ten containers, of which three are the job's and ours */
#define ECS_HOST_NAME_CEILING    32 /* as the agent */
#define ECS_SERVICE_PORT_CEILING IMAGE_PORT_CEILING

struct ecs_service_state {
    const char *name; /* as the job has it, of the request */
    struct image_choice choice;
    cJSON *names;     /* host names, array of texts */
    cJSON *variables; /* "NAME=VALUE", array: the job's public ones, then its own */
    cJSON *words;     /* if wrapped: ENTRYPOINT and CMD */
    uint16_t ports[ECS_SERVICE_PORT_CEILING];
    size_t port_count;
};

struct ecs_services {
    struct ecs_service entries[ECS_SERVICE_CEILING]; /* for the definition; points into 'states' */
    struct ecs_service_state states[ECS_SERVICE_CEILING];
    size_t count;
    cJSON *host_names;    /* for the definition, array of texts */
    cJSON *varying_names; /* host names of services whose alias may differ between two jobs of one
                             definition, array of texts: an override */
    cJSON *secrets;       /* values of masked job variables, array of texts */
    cJSON *overrides;     /* of containers, array; NULL: none */
};

/* What services_read() needs beside the job's request. */
struct ecs_services_input {
    const struct config *config;
    const cJSON *services;    /* of job_keywords_read() */
    const cJSON *response;    /* JOB_RESPONSE_FILE; NULL: none */
    bool with_helper;         /* which hands variables to services that the agent starts */
    const char *architecture; /* of the task: "amd64" or "arm64" */
    size_t sidecars;          /* containers of the base beside the job's */
    /* As image_choose() for a service's image; the result is freed by ecs_services_done().
     * 'is_needed': without the image's words the job cannot run. */
    int (*choose)(void *context, const char *name, bool is_needed, struct image_choice *out_choice,
                  struct error *err);
    void *context;
};

int ecs_services_read(struct ecs_services *services, const struct ecs_services_input *input,
                      struct error *err) __attribute__((warn_unused_result));
void ecs_services_done(struct ecs_services *services);

/* Whether "NAME=VALUE" has the value of a masked variable of the job. */
bool ecs_services_hold_secret(const struct ecs_services *services, const char *text);

/* Chooses what fits of the variables of services that are not wrapped: their own first, then the
 * job's public ones, CI_... last; one warning that names what does not. 'room': characters of
 * overrides that are left. */
int ecs_services_override(struct ecs_services *services, const struct config *config, size_t room,
                          struct error *err) __attribute__((warn_unused_result));

/* In the running task: hands the variables over, and waits until each service accepts a connection
 * on one of its ports, [Fargate] ServiceTimeout in all. A service that does not, or whose container
 * stops meanwhile, is a warning with the end of its log (service_logs.h); without a known port the
 * second alone. */
int ecs_services_settle(struct ecs_services *services, const struct backend_task *task,
                        const struct backend_helper *helper, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
