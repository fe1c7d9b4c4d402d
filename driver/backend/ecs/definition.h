/* SPDX-License-Identifier: MIT */
/*
 * definition.h - the task definition of a job with an image of its own: which containers, from
 * which images, started how.
 *
 * Pure: from a plan to the request of RegisterTaskDefinition, without its family. The same plan
 * gives the same bytes, whose hash names the family: a definition is registered once, not once for
 * each job. So nothing that differs between runs of a job belongs into it, and no secret, since
 * DescribeTaskDefinition shows it for ever: keys, sizes and roles of one job are overrides of
 * RunTask (request.c).
 *
 *   berth-inject    copies the agent from its image into the volume 'berth', ends
 *   berth-helper    sources, artifacts, cache; runs the agent as root
 *   (the job's)     runs the agent; named [Fargate] ContainerName
 *   berth-svc-N     a service, from 1
 *   sidecars        of the base, unchanged
 *
 * The base is a task definition as DescribeTaskDefinition answers. Of its job container whatever
 * belongs to its image is dropped, and 'privileged'; the rest stays, keys unknown here too. Trees
 * that are made belong to the caller; those in a plan do not belong to it. Errors are ERROR_USAGE
 * for what the base, the file or the job has wrong. Sources: Amazon ECS API Reference
 * (RegisterTaskDefinition), Developer Guide (task definition differences for Fargate).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_DEFINITION_H
#define BERTH_DRIVER_BACKEND_ECS_DEFINITION_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/error.h"
#include "driver/config/config.h"

#define ECS_HELPER_CONTAINER        "berth-helper"
#define ECS_INJECT_CONTAINER        "berth-inject"
#define ECS_SERVICE_CONTAINER_BYTES 32

#define ECS_BUILDS_DIRECTORY "/builds"
#define ECS_CACHE_DIRECTORY  "/cache"

#define ECS_CONTAINER_CEILING        10 /* of a task definition */
#define ECS_DEFINITION_CEILING_BYTES (64UL << 10)

#define ECS_HASH_BYTES   41 /* 40 hexadecimal digits and the NUL */
#define ECS_FAMILY_BYTES 64
#define ECS_PREFIX_BYTES 24

/* An image and how to pull it. */
struct ecs_image {
    const char *name;
    const char *secret; /* ARN of the registry's login in Secrets Manager; NULL: none */
};

/* One service. */
struct ecs_service {
    struct ecs_image image;
    const char *user;        /* NULL: the image's */
    const cJSON *entrypoint; /* array of texts; NULL or empty: the image's */
    const cJSON *command;    /* the same */
    bool wrapped;            /* started by berth-agent, which waits for its variables; 'entrypoint'
                                and 'command' are then the whole words */
    bool privileged;         /* shares /certs/client with the job */
};

struct ecs_plan {
    const struct config *config;
    const char *region; /* of the log group */
    const cJSON *base;  /* "taskDefinition" of DescribeTaskDefinition; NULL: none */
    struct ecs_image agent, helper, job;
    bool with_helper;
    bool plain_umask; /* 0022 in the helper instead of 0000 */
    bool services_see_builds;
    const char *user;          /* of the job's container; NULL: the image's */
    const char *processor;     /* "ARM64", "X86_64"; NULL: the base's */
    const char *compatibility; /* of capacity.h; NULL: the base's, else "FARGATE" */
    bool privileged;           /* the job's container */
    const cJSON *entrypoint;   /* of the job: array of texts, or NULL */
    const cJSON *host_names;   /* of services: array of texts, or NULL */
    const struct ecs_service *services;
    size_t service_count;
};

/* The request of RegisterTaskDefinition without 'family' and 'tags', keys sorted. NULL with an
 * error, also when it has too many containers or bytes. */
cJSON *ecs_definition_make(const struct ecs_plan *plan, struct error *err);

/* Hash of the request; same text, same hash, on every host. -1: out of memory. */
int ecs_definition_hash(const cJSON *definition, char out[ECS_HASH_BYTES], struct error *err)
    __attribute__((warn_unused_result));

/* "berth-SCOPE-": what all families of this region and cluster begin with. The account's are its
 * own anyway. */
void ecs_definition_prefix(const char *region, const char *cluster, char out[ECS_PREFIX_BYTES]);

/* The name of service number 'index', from 0. */
void ecs_service_container(size_t index, char out[ECS_SERVICE_CONTAINER_BYTES]);
/* Where the helper writes that service's variables, and where the service's agent reads them. */
#define ECS_SERVICE_HELPER_DIRECTORY "/.berth-services"
#define ECS_SERVICE_DIRECTORY        "/.berth-variables"
#define ECS_SERVICE_FILE             "variables"

/* "X86_64" or "ARM64": what the task will run on. */
const char *ecs_definition_processor(const cJSON *base);

/* How many containers of the base stay beside the job's. */
size_t ecs_definition_sidecars(const cJSON *base, const char *container);

#endif
