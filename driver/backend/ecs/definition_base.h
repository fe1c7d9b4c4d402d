/* SPDX-License-Identifier: MIT */
/*
 * definition_base.h - what a generated task definition begins with: the base without what belongs
 * to its image or to its revision, or the file's sizes without a base. For definition.c, and for
 * doctor's look at the base.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_DEFINITION_BASE_H
#define BERTH_DRIVER_BACKEND_ECS_DEFINITION_BASE_H

#include "driver/backend/ecs/definition.h"

#define ECS_AGENT_DIRECTORY "/.berth"
#define ECS_AGENT_VOLUME    "berth"
#define ECS_BUILDS_VOLUME   "berth-builds"
#define ECS_CERTS_VOLUME    "berth-certs"
#define ECS_SERVICE_PREFIX  "berth-svc-"

/* Where Docker in Docker leaves the certificates for its clients, and its clients look for them. */
#define ECS_CERTS_DIRECTORY "/certs/client"

/* Has the job's container, reduced to what stays of it. NULL with ERROR_USAGE for a base without
 * that container, with names or paths that are ours, or with a container that waits for more than
 * the start of the job's. The caller deletes it. */
cJSON *ecs_definition_base(const struct ecs_plan *plan, struct error *err);

/* Whether a service shares its certificates with the job. */
bool ecs_definition_has_certs(const struct ecs_plan *plan);

/* The container of that name; NULL: there is none. */
cJSON *ecs_definition_container(const cJSON *definition, const char *name);

#endif
