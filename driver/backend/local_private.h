/* SPDX-License-Identifier: MIT */
/*
 * local_private.h - what local.c (the backend: its directories, and an agent's end) and
 * local_birth.c (an agent's start) share. Nothing else includes it.
 *
 * Functions with 'err' return -1 after filling it. Nothing here is the caller's to free.
 */
#ifndef BERTH_DRIVER_BACKEND_LOCAL_PRIVATE_H
#define BERTH_DRIVER_BACKEND_LOCAL_PRIVATE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/backend.h"
#include "driver/process.h"

#define LOCAL_LOG_TAIL_BYTES 600

/* local.c: "DIRECTORY/NAME". 'err' may be NULL. */
int local_join(char out[PATH_MAX], const char *directory, const char *name, struct error *err);
/* local.c: the task's own directory as it was planned, or NULL; the metadata's memory. */
const char *local_directory_of(const struct metadata *metadata);
/* local.c: notes which process the agent is, for whoever has to end it. */
int local_store_identity(struct metadata *metadata, const struct process_identity *identity,
                         struct error *err) __attribute__((warn_unused_result));
/* local.c: the end of the agent's log in one line, for an error message; empty without one. */
void local_log_tail(const struct metadata *metadata, char *out, size_t room);

/* local_birth.c: starts the agent in directories that are there already, and learns its port. Its
 * identity is on disk before it executes anything. */
int local_birth(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
