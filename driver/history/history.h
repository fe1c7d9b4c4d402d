/* SPDX-License-Identifier: MIT */
/*
 * history.h - reads the history: the jobs that ended since a time, the newest first.
 *
 * Lines that are torn, too long or not valid are skipped and counted. Of several lines of one job,
 * which failed attempts of 'prepare' leave, the last counts. history_load() fills the caller's
 * struct; history_done() frees all of it. Texts are never NULL; unknown figures are 0.
 * Of the jobs of history_load() only the texts that many jobs share are kept; history_job_parse()
 * of its line has the others.
 */
#ifndef BERTH_DRIVER_HISTORY_HISTORY_H
#define BERTH_DRIVER_HISTORY_HISTORY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/config/config.h"
#include "driver/history/entry.h"

#define HISTORY_JOBS_MAX (4UL << 20)

struct history_job {
    const char *key, *project, *backend, *image, *result, *failure, *reason, *currency;
    const char *name, *ref, *url, *task; /* "" after history_load() */
    int64_t job, started_at_s, ended_at_s;
    int exit_code;
    double queued_s, placed_s, pulled_s, created_s, started_s, login_s, services_s;
    double start_s, run_s, cpu_s;
    double peak_bytes, limit_bytes, output_bytes, oom_kills;
    double vcpus, memory_gib, cost;
    bool spot;
    const char *line; /* the whole line, of 'line_length' bytes, with its stages */
    size_t line_length;
};

/* One line without its stages. The texts point into the result, which the caller frees; NULL: the
 * line is not valid. */
cJSON *history_job_parse(const char *line, size_t length, struct history_job *out_job);

struct history {
    struct history_job *jobs; /* by the time of their end, the newest first */
    size_t count;
    size_t skipped; /* lines that are not valid */
    char *text;
    size_t length;
    struct history_texts *texts;
    char path[4096]; /* of the directory */
};

/* 'since_s': Unix time, 0 for all. A missing history is empty. */
int history_load(struct history *history, const struct config *config, int64_t since_s,
                 struct error *err) __attribute__((warn_unused_result));
void history_done(struct history *history);

bool history_job_failed(const struct history_job *job);

#endif
