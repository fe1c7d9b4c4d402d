/* SPDX-License-Identifier: MIT */
/*
 * service_logs.h - what the services of a job have logged, from CloudWatch Logs: for
 * CI_DEBUG_SERVICES, and for the warning about one that is not ready.
 *
 * The state's array BACKEND_SERVICE_LOGS has an object for each service, in their order: "name" for
 * people, "group" and "stream" of the log; once something was read, "token" of the next page, and
 * if that page did not fit, "skip" (events of it that were taken) and "offset" (bytes of the next
 * one). There is no array if the logs are not in CloudWatch Logs of this region. No job fails for a
 * log. Sources: Amazon CloudWatch Logs API Reference (GetLogEvents), user guide (quotas: 25 calls
 * per second in an account and region).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_SERVICE_LOGS_H
#define BERTH_DRIVER_BACKEND_ECS_SERVICE_LOGS_H

#include "driver/backend/backend.h"
#include "driver/backend/ecs/services.h"

#define ECS_SERVICE_TAIL_BYTES (16UL << 10)

/* Saves where the logs of the running task's services are. 'definition': as registered. */
int ecs_service_logs_init(struct backend_task *task, const cJSON *definition,
                          const struct ecs_services *services, const char *region,
                          struct error *err) __attribute__((warn_unused_result));

/* Appends the last lines of a service to 'out', whose ceiling is ECS_SERVICE_TAIL_BYTES; none if
 * the stream does not exist. -1: no answer within 3 s, which is a debug line. */
int ecs_service_logs_tail(const struct backend_task *task, size_t index, struct buffer *out);

/* backend.h: service_logs(). Each service is read every 5 s, once per second while there is more
 * than fits, less often after failures; all drivers of the host together make no more than
 * CallsPerSecond calls. */
int ecs_service_logs(struct backend_task *task, struct buffer *out, int64_t deadline_ms,
                     struct error *err) __attribute__((warn_unused_result));

/* Appends the lines of one answer to 'out' as far as they fit, and moves the position in 'entry'.
 * Returns whether there may be more to read at once. Pure. Exported for fuzzing. */
bool ecs_service_logs_take(const cJSON *answer, cJSON *entry, struct buffer *out, bool *ok);

#endif
