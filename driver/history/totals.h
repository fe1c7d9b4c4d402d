/* SPDX-License-Identifier: MIT */
/*
 * totals.h - counters over all jobs, for 'berth-driver metrics'.
 *
 * They are a file of their own, since the history drops old lines and counters must never fall.
 * Each line that is appended to the history is added to them, under the same lock. Counters per
 * project are kept for the first HISTORY_PROJECTS projects; further ones count as "(other)".
 * A file that is missing is made of the history, and so is one that is damaged, which then is kept
 * as totals.json.broken-DATE.
 */
#ifndef BERTH_DRIVER_HISTORY_TOTALS_H
#define BERTH_DRIVER_HISTORY_TOTALS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/history/store.h"

#define HISTORY_PROJECTS      200
#define HISTORY_TOTALS_BYTES  (4UL << 20)
#define HISTORY_METRICS_BYTES (8UL << 20)

/* The counters of 'text'; from nothing if it is NULL; NULL: 'text' is not valid, or no memory.
 * Exported for fuzzing. */
cJSON *history_totals_parse(const char *text, size_t length);
/* Adds a line of the history. -1: no memory. Lines that are not valid count for nothing.
 * Exported for fuzzing. */
int history_totals_add(cJSON *totals, const char *line, size_t length)
    __attribute__((warn_unused_result));

/* Appends a job's line to the history and adds it to the counters. With the lock. '*out_kept': as
 * of history_append(); the line must not be written again. -1 also when damaged counters were
 * replaced. */
int history_record(const struct history_store *store, const char *line, size_t length,
                   int64_t now_s, bool *out_kept, struct error *err)
    __attribute__((warn_unused_result));

/* The counters as they are now, for the caller to free; NULL with 'err'. 'out_damaged': the file
 * is, so that they are made of the history and may have fallen. */
cJSON *history_totals_load(const struct history_store *store, bool *out_damaged, struct error *err);

/* Appends the counters in Prometheus's text format. -1: no memory. */
int history_totals_print(const cJSON *totals, bool projects, struct buffer *out)
    __attribute__((warn_unused_result));

#endif
