/* SPDX-License-Identifier: MIT */
/*
 * registration.h - generated task definitions in ECS: registered once for each content, found
 * again, removed when old.
 *
 * The family is named by the hash of our own request, never of what ECS reads back, which it fills
 * in. A file (store.h) holds the ARN for a hash in one account, so that a job of known content
 * costs no call. On one host one process registers a content while the others wait; two hosts that
 * meet both go on: ECS refuses one of them, which then finds the other's. Calls are spaced out by
 * pace.h.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_REGISTRATION_H
#define BERTH_DRIVER_BACKEND_ECS_REGISTRATION_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/backend/ecs/definition.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

/* One definition; the texts and trees are not owned. */
struct ecs_registration {
    struct aws_client *client;
    const struct config *config;
    struct signals *signals; /* may be NULL */
    const cJSON *definition; /* of ecs_definition_make() */
    const cJSON *tags;       /* array for the new revision; NULL: none */
    char hash[ECS_HASH_BYTES];
    char family[ECS_FAMILY_BYTES];
    char file[ECS_STORE_NAME_BYTES]; /* where the ARN is kept */
    char arn[ECS_ARN_BYTES];         /* empty: not known yet */
    int64_t known_ms; /* when it was registered or found, at the latest (clock.h): ECS may not
                         show it everywhere yet */
};

/* The name in the store (store.h) of the file with the ARN of this family's last revision. */
void ecs_registration_file(const struct aws_client *client, const char *family,
                           char out[ECS_STORE_NAME_BYTES]);

/* Sets hash, family and file. */
int ecs_registration_init(struct ecs_registration *registration, struct aws_client *client,
                          const struct config *config, struct signals *signals,
                          const cJSON *definition, const cJSON *tags, struct error *err)
    __attribute__((warn_unused_result));

/* Sets the ARN, from the store or by RegisterTaskDefinition. */
int ecs_registration_ensure(struct ecs_registration *registration, int64_t deadline_ms,
                            struct error *err) __attribute__((warn_unused_result));

/* After RunTask refused the ARN: finds the family's latest revision, or registers it again. */
int ecs_registration_renew(struct ecs_registration *registration, int64_t deadline_ms,
                           struct error *err) __attribute__((warn_unused_result));

/* Deregisters and deletes the definitions of this region and cluster that were registered longer
 * ago than [Fargate] DefinitionAge, whichever host made them. Continues after one that fails; calls
 * 'removed' for each that is gone. Returns how many, or -1. */
int ecs_definitions_remove_old(const struct config *config, struct signals *signals,
                               void (*removed)(const char *arn), struct error *err)
    __attribute__((warn_unused_result));

#endif
