/* SPDX-License-Identifier: MIT */
/*
 * pool.h - the records of warm tasks: metadata files under keys of their own.
 *
 *   warm-ID    launching, or ready: 'warm.ready_at_s' is set in the last write under this key
 *   job-...    claimed: one rename to the job's key, so that the job's cleanup ends a task whose
 *              claimer was killed at any moment. A rename is won by one process alone
 *   spent-ID   to be stopped: renamed from 'warm-ID' (too old, too many) or from the job's key (a
 *              claim that failed). Never offered again
 *
 * A process that launches or stops a task holds its key (metadata_directory_hold()); a record that
 * is neither ready nor held is a leftover. The task's objects are named by 'warm-ID' to their end.
 */
#ifndef BERTH_DRIVER_RECORD_POOL_H
#define BERTH_DRIVER_RECORD_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/record/metadata.h"

#define POOL_SPENT_PREFIX "spent-"
/* Without 'warm' nothing replaces a task at its age; the agent exits a minute later. */
#define POOL_AGE_SPARE_S 600

enum pool_state {
    POOL_LAUNCHING, /* by a process that is running */
    POOL_READY,
    POOL_SPENT,
    POOL_STOPPING, /* spent, and a running process stops it */
    POOL_LEFT,     /* its process was killed: launching or stopping */
};

struct pool_record {
    char key[METADATA_JOB_BYTES];  /* of the file */
    char task[METADATA_JOB_BYTES]; /* in the names of the task's objects */
    enum pool_state state;
    char backend[16];
    struct metadata_warm warm;
    int64_t started_at_s;
};

struct pool {
    struct pool_record *records;
    size_t count;
};

/* A new key "warm-ID". */
void pool_new_key(char out[METADATA_JOB_BYTES]);
/* Whether the key is one of the pool's: warm-ID or spent-ID. */
bool pool_has_key(const char *key);
bool pool_is_spent(const char *key);

/* All records of the pool. Those that cannot be read are skipped with a warning. The caller ends
 * the struct with pool_done(), also after a failure. */
int pool_read(const char *directory, struct pool *out_pool, struct error *err)
    __attribute__((warn_unused_result));
void pool_done(struct pool *pool);

/* Gives the record at 'key', whose task is 'task', to the spent ones; 'out_key' is its new key.
 * Returns as metadata_rename(). */
int pool_retire(const char *directory, const char *key, const char *task,
                char out_key[METADATA_JOB_BYTES], struct error *err)
    __attribute__((warn_unused_result));

/* The key of the record, the pool's or a job's, whose task has this name. Returns 1; 0: there is
 * none; -1 with 'err': the directory or a record that may be the one cannot be read. */
int pool_find_task(const char *directory, const char *task, char out_key[METADATA_JOB_BYTES],
                   struct error *err) __attribute__((warn_unused_result));

/* Whether the pool still ends this record's task, for 'gc'. */
bool pool_is_known(const struct pool_record *record, int64_t now_s);
/* One record; 0: there is none; -1: it cannot be read. */
int pool_read_one(const char *directory, const char *key, struct pool_record *out_record,
                  struct error *err) __attribute__((warn_unused_result));

#endif
