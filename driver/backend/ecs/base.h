/* SPDX-License-Identifier: MIT */
/*
 * base.h - reads the task definition that generated ones are based on: [Fargate] TaskDefinition or
 * the job variable FARGATE_TASK_DEFINITION.
 *
 * A revision never changes, so it is read once and kept in a file (store.h). The latest revision of
 * a family is read again after 5 minutes. One process of a host asks, the others wait for it.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_BASE_H
#define BERTH_DRIVER_BACKEND_ECS_BASE_H

#include <cjson/cJSON.h>

#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

/* {"taskDefinition": {...}, "tags": [...]}, which the caller deletes; the tags only with [Fargate]
 * PropagateTags. ERROR_USAGE if it does not exist or is INACTIVE. */
int ecs_base_read(struct aws_client *client, const struct config *config, struct signals *signals,
                  int64_t deadline_ms, cJSON **out_base, struct error *err)
    __attribute__((warn_unused_result));

#endif
