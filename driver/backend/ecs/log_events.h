/* SPDX-License-Identifier: MIT */
/*
 * log_events.h - where a container's log is in CloudWatch Logs, and a page of its events.
 *
 * ECS names a stream PREFIX/CONTAINER/TASK-ID if the definition has a prefix; without one the name
 * is not known. Sources: Amazon ECS Developer Guide (awslogs log driver), Amazon CloudWatch Logs
 * API Reference (GetLogEvents).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_LOG_EVENTS_H
#define BERTH_DRIVER_BACKEND_ECS_LOG_EVENTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/aws/aws.h"

#define ECS_LOG_NAME_BYTES 513 /* of a group or stream, with the NUL */

struct ecs_log_place {
    char group[ECS_LOG_NAME_BYTES], stream[ECS_LOG_NAME_BYTES];
};

/* By a task definition, as in DescribeTaskDefinition or RegisterTaskDefinition, and the task's ARN.
 * 'region': the client's; NULL: do not compare. False: its log is not in CloudWatch Logs of that
 * region, or its stream is not known. */
bool ecs_log_place_find(const cJSON *definition, const char *container, const char *arn,
                        const char *region, struct ecs_log_place *out_place);

/* What to read of a stream. */
struct ecs_log_page {
    const char *token; /* nextForwardToken of the page before; NULL or empty: none */
    bool from_end;     /* without a token: the last events instead of the first */
    int limit;         /* of events; 0: as many as the service gives */
};

/* GetLogEvents. The caller deletes *out_answer. */
int ecs_log_events(struct aws_client *client, const char *group, const char *stream,
                   const struct ecs_log_page *page, int64_t deadline_ms, cJSON **out_answer,
                   struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));

#endif
