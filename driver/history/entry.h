/* SPDX-License-Identifier: MIT */
/*
 * entry.h - a job's line of the history, and the notes of its stages from which it is made.
 *
 * 'prepare' notes where the job comes from: id, name, project, ref and URL from JOB_RESPONSE_FILE
 * alone, which no job variable can change, and never the value of a variable. Each stage notes that
 * it begins, and its result and figures. 'cleanup' makes the line of these notes. Texts are escaped
 * (escape.h) and cut, so that a line neither breaks nor grows without bound. Unknown figures are 0
 * and omitted. Sizes are bytes, times seconds; dates are Unix seconds.
 *
 * Functions that write into a buffer return -1 without memory or beyond its ceiling.
 */
#ifndef BERTH_DRIVER_HISTORY_ENTRY_H
#define BERTH_DRIVER_HISTORY_ENTRY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/jobwire.h"
#include "driver/config/config.h"
#include "driver/runner/runner.h"

#define HISTORY_TEXT_BYTES   512 /* of one text of a line */
#define HISTORY_REASON_BYTES 600
#define HISTORY_VERSION      1
#define HISTORY_COST_LEAST   0.0001
#define HISTORY_FACTS        "facts" /* in the state of the metadata */

/* What a stage knows of its job's task. */
struct history_figures {
    char task[HISTORY_TEXT_BYTES], image[HISTORY_TEXT_BYTES];
    double vcpus, memory_gib;
    bool spot, elsewhere; /* elsewhere: [Price] does not apply */
    /* The parts of a start (struct backend_start); and all of it. */
    double queued_s, placed_s, pulled_s, created_s, started_s, login_s, services_s, start_s;
    bool usage_known;
    struct jobwire_usage usage;
    uint64_t output_bytes;
};

/* How a stage ended: 'status' in the words of the log file, and why if it failed. */
struct history_stage {
    const char *name, *status;
    int exit_code; /* of a script that failed; 0: none */
    double seconds;
    int64_t stopped_at_s; /* when a stop was requested; 0: it was not */
    const char *reason;   /* NULL or empty: none */
};

/* What 'prepare' notes first. 'response' may be NULL. */
int history_note_job(const char *key, const cJSON *response, const char *backend, int64_t now_s,
                     struct buffer *out) __attribute__((warn_unused_result));
/* Another stage begins. */
int history_note_begin(const char *stage, struct buffer *out) __attribute__((warn_unused_result));
/* A stage ended. Values of variables that are masked or not public are removed from its reason. */
int history_note_stage(const struct history_stage *stage, const struct history_figures *figures,
                       const cJSON *response, struct buffer *out)
    __attribute__((warn_unused_result));

/* Cleanup ended the job and could not write its line, which gc will do: it is not lost. */
int history_note_cleanup(int64_t at_s, struct buffer *out) __attribute__((warn_unused_result));

/* How cleanup or gc found the job. */
struct history_end {
    int64_t at_s;
    bool lost;          /* no cleanup ran: its host or its runner died */
    const char *reason; /* of 'lost' */
    const struct history_figures *figures;
    const struct config_price *price;
};

/* The line, without a newline, from the notes. Returns 1; 0: the notes are empty; -1. */
int history_entry(const char *job, const char *notes, size_t length, const struct history_end *end,
                  struct buffer *out) __attribute__((warn_unused_result));

/* In the currency of [Price]; 0: no price or size is known. */
double history_cost(const struct config_price *price, const struct history_figures *figures,
                    double seconds);

/* "0.0123 USD", or below HISTORY_COST_LEAST "less than 0.0001 USD". */
void history_cost_text(double cost, const char *currency, char *out, size_t room);

/* What backends record of a task under HISTORY_FACTS, in 'state'. */
void history_read_facts(const cJSON *state, struct history_figures *figures);

#endif
