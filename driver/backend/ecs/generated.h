/* SPDX-License-Identifier: MIT */
/*
 * generated.h - a job with an image of its own: from its 'image:' and 'services:' to the task
 * definition that Berth registers for it.
 *
 * With neither [Fargate] Image nor AllowedImages nothing here has an effect. With one of them, a
 * job that has an image, by 'image:' or Image, gets a generated definition; another runs
 * TaskDefinition as it is. fetch() decides, reads and checks all that the job asks for before
 * anything is registered or started. In metadata->state: definition (the ARN).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_GENERATED_H
#define BERTH_DRIVER_BACKEND_ECS_GENERATED_H

#include <stdbool.h>

#include "driver/backend/backend.h"
#include "driver/backend/ecs/capacity.h"
#include "driver/backend/ecs/registration.h"
#include "driver/backend/ecs/services.h"
#include "driver/backend/helper_image.h"
#include "driver/backend/job_keywords.h"

/* What is planned for one job, in the process that launches it. */
struct ecs_generated {
    struct job_keywords request;
    cJSON *base; /* as ecs_base_read() answers; NULL: none */
    struct image_choice job, helper, agent;
    char helper_name[HELPER_IMAGE_BYTES];
    bool with_helper;
    enum ecs_capacity capacity;
    bool privileged; /* the job's container */
    struct ecs_services services;
    cJSON *definition;
    struct ecs_registration registration;
};

/* Whether the file has one of the keys. */
bool ecs_generates(const struct config *config);
/* Whether this stage's job has an image of its own under these keys. */
bool ecs_job_is_generated(const struct config *config);

/* Reads what such a job asks for; the caller ends it with job_keywords_done(). */
int ecs_generated_request(const struct config *config, struct job_keywords *out_request,
                          struct error *err) __attribute__((warn_unused_result));

/* backend.h: fetch(). */
int ecs_fetch(struct backend_task *task, struct error *err) __attribute__((warn_unused_result));
/* Part of plan(): what is saved of it, and whether the overrides have room. */
int ecs_generated_plan(struct backend_task *task, struct error *err)
    __attribute__((warn_unused_result));
/* backend.h: settle(). */
int ecs_settle(struct backend_task *task, const struct backend_helper *helper, int64_t deadline_ms,
               struct error *err) __attribute__((warn_unused_result));

void ecs_generated_free(struct ecs_generated *generated); /* accepts NULL */

#endif
