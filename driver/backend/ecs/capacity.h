/* SPDX-License-Identifier: MIT */
/*
 * capacity.h - of which kind the capacity is that [Fargate] CapacityProviders name.
 *
 * FARGATE and FARGATE_SPOT are known by name; of other providers ECS is asked once
 * (DescribeCapacityProviders), and the answer kept beside the metadata for a day (store.h). Only
 * jobs with an image of their own need to know: a generated definition must name the kind, and only
 * on ECS Managed Instances may containers be privileged. All providers must be of one kind: ECS
 * refuses a strategy with Fargate and others, and a definition cannot fit both.
 *
 * Nothing here is owned. Sources: Amazon ECS API Reference (DescribeCapacityProviders, RunTask,
 * RegisterTaskDefinition: requiresCompatibilities).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_CAPACITY_H
#define BERTH_DRIVER_BACKEND_ECS_CAPACITY_H

#include <stdbool.h>

#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

#define ECS_PROVIDER_BYTES 256 /* more than ECS allows, with the NUL */

enum ecs_capacity {
    ECS_CAPACITY_FARGATE,
    ECS_CAPACITY_MANAGED,   /* ECS Managed Instances */
    ECS_CAPACITY_INSTANCES, /* EC2 instances of an Auto Scaling group */
    ECS_CAPACITIES,
};

/* The name in an entry of CapacityProviders, without weight and base. */
void ecs_provider_name(const char *entry, char out[ECS_PROVIDER_BYTES]);
/* Whether it is one of Fargate's two. */
bool ecs_provider_is_fargate(const char *entry);

/* Whether the configuration names a provider whose kind only ECS knows. */
bool ecs_capacity_is_asked(const struct config *config);
/* What can be said without a call: ERROR_USAGE for providers of two kinds, for PlatformVersion with
 * providers other than Fargate's, and for privileged containers on Fargate. */
int ecs_capacity_check(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

/* The kind of all providers. ERROR_USAGE for two kinds, a provider that the cluster does not have,
 * a call that is not allowed. */
int ecs_capacity_find(struct aws_client *client, const struct config *config,
                      struct signals *signals, int64_t deadline_ms, enum ecs_capacity *out_kind,
                      struct error *err) __attribute__((warn_unused_result));
/* The same of one entry, asked without a look at what is kept, and not kept. */
int ecs_capacity_ask(struct aws_client *client, const struct config *config, const char *entry,
                     int64_t deadline_ms, enum ecs_capacity *out_kind, struct error *err)
    __attribute__((warn_unused_result));

/* The value of requiresCompatibilities. */
const char *ecs_capacity_compatibility(enum ecs_capacity kind);
/* "ECS Managed Instances" */
const char *ecs_capacity_text(enum ecs_capacity kind);

/* Fills 'err' for a privileged container elsewhere; returns -1. 'what': "[Fargate] ..." or "the
 * job's image '...'". */
int ecs_capacity_not_privileged(const char *what, const char *where, struct error *err);

/* Whether the cluster's default strategy names a provider other than Fargate's: 1 and its name, 0,
 * -1: not known. */
int ecs_capacity_default(struct aws_client *client, const struct config *config,
                         struct signals *signals, int64_t deadline_ms,
                         char out_provider[ECS_PROVIDER_BYTES], struct error *err)
    __attribute__((warn_unused_result));

#endif
