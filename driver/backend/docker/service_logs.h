/* SPDX-License-Identifier: MIT */
/*
 * service_logs.h - what the services of a job have logged, for CI_DEBUG_SERVICES.
 *
 * The state's array BACKEND_SERVICE_LOGS has an object {"name", "since", "count"} for each service:
 * the name for people, the time of the last line that was read, and how many lines of that time.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_SERVICE_LOGS_H
#define BERTH_DRIVER_BACKEND_DOCKER_SERVICE_LOGS_H

#include "driver/backend/backend.h"

#define DOCKER_SINCE_BYTES 40

/* See struct backend. */
int docker_service_logs(struct backend_task *task, struct buffer *out, int64_t deadline_ms,
                        struct error *err) __attribute__((warn_unused_result));

/* Adds an entry for a service, before any of its log was read. 'aliases' are texts. */
void docker_service_logs_add(cJSON *state, const cJSON *aliases, bool *ok);

/* How far a log was read: the time of the last line as the engine's 'since' (seconds, a point and
 * nine digits; "0": nothing), and how many lines of that time. Parts of one line have the same. */
struct docker_log_position {
    char since[DOCKER_SINCE_BYTES];
    int64_t count;
};

/* Appends the lines of an answer with timestamps (RFC 3339) that begins at 'position', as far as
 * they fit, and moves the position. Pure bytes. Exported for fuzzing. */
void docker_service_logs_take(const char *frames, size_t length, const char *name,
                              struct docker_log_position *position, struct buffer *out);

#endif
