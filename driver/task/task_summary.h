/* SPDX-License-Identifier: MIT */
/*
 * task_summary.h - what 'ps' and 'gc' show of a task: age, cost, whether it belongs to a job of
 * this runner.
 *
 * Nothing here can fail. Texts are written into the caller's memory, "-" for unknown values.
 */
#ifndef BERTH_DRIVER_TASK_TASK_SUMMARY_H
#define BERTH_DRIVER_TASK_TASK_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/backend/backend.h"

#define TASK_SUMMARY_EXEC_AGE_S (24 * 3600)

/* "42s", "17m", "3h05m", "2d04h" since it started. */
void task_summary_age(const struct backend_listed *listed, int64_t now_s, char *out, size_t room);

/* From [Price], in its currency, with four decimals. */
void task_summary_cost(const struct backend_listed *listed, const struct config_price *price,
                       int64_t now_s, char *out, size_t room);

/* The job of a task that was warm: the key of the record that has it now. Call it after the task
 * was listed. */
void task_summary_find_record(struct backend_listed *listed, const struct config *config);

/* Whether the task still belongs to a job that ends it. With metadata: its runner or one of its
 * drivers may still run (origin.h), and its cleanup has not failed; unreadable metadata counts as a
 * job's. Without metadata: only an 'exec' that could not save any and is younger than a day. */
bool task_summary_is_known(const struct backend_listed *listed, const struct config *config,
                           int64_t now_s);

#endif
