/* SPDX-License-Identifier: MIT */
/*
 * pool_failure.h - failed launches of warm tasks, and when the next one is due.
 *
 * One file for each wish (pool.h) and owner in the metadata directory, while its launches fail. The
 * pause after a failure doubles up to a ceiling. Concurrent launches that fail count as one: each
 * process writes the count that it began with, plus one. Times are Unix seconds.
 */
#ifndef BERTH_DRIVER_RECORD_POOL_FAILURE_H
#define BERTH_DRIVER_RECORD_POOL_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/record/metadata.h"

#define POOL_FAILURE_FIRST_S    30
#define POOL_FAILURE_CEILING_S  (30 * 60)
#define POOL_FAILURE_NAME_BYTES 256
#define POOL_FAILURE_TEXT_BYTES (ERROR_TEXT_BYTES + 128)

struct pool_failure {
    char wish[METADATA_WISH_BYTES];
    char owner[METADATA_WISH_BYTES];
    char config[64]; /* which state of the configuration file the launch had */
    char name[POOL_FAILURE_NAME_BYTES];
    char reason[ERROR_TEXT_BYTES];
    int64_t count; /* of failures in a row, at least 1 */
    int64_t failed_at_s;
};

struct pool_failures {
    struct pool_failure *entries;
    size_t count;
};

/* All of the directory; those that cannot be read are skipped. The caller ends the struct with
 * pool_failures_done(), also after a failure. */
int pool_failures_read(const char *directory, struct pool_failures *out_failures, struct error *err)
    __attribute__((warn_unused_result));
void pool_failures_done(struct pool_failures *failures);

int pool_failure_write(const char *directory, const struct pool_failure *failure, struct error *err)
    __attribute__((warn_unused_result));
/* A missing one is success, and a failure is logged: the record ends by its age. */
void pool_failure_remove(const char *directory, const char *wish, const char *owner);

/* From the last failure to the next launch. */
int64_t pool_failure_pause_s(int64_t count);
/* Whether the next launch may begin; after a clock was set back it may. */
bool pool_failure_is_due(const struct pool_failure *failure, int64_t now_s);
/* A day after the last failure nothing tries this launch any more. */
bool pool_failure_is_old(const struct pool_failure *failure, int64_t now_s);

/* "the last 3 launches failed, the next is due in 90 s: REASON", to be escaped where it is printed.
 */
void pool_failure_text(const struct pool_failure *failure, int64_t now_s,
                       char out[POOL_FAILURE_TEXT_BYTES]);

#endif
