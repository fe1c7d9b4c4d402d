/* SPDX-License-Identifier: MIT */
/*
 * warm.h - tasks that are launched ahead of their jobs: [[Warm]].
 *
 *   wish.c     what an entry's tasks are for, and what a job asks for, as one hash each
 *   backoff.h  pauses between launches that fail
 *   fill.c     brings the pool to the numbers wanted: 'berth-driver warm'
 *   claim.c    gives a ready task to a job: 'prepare'
 *   replace.c  starts 'berth-driver warm' after a claim, in a session of its own
 *
 * Records and their states are in driver/record/pool.h. One process at a time decides what is
 * launched and stopped, under the lock of a file '.warm-plan' in the metadata directory; it saves a
 * record for each task before it lets go of the lock, so that no task is uncounted. Claims need no
 * lock: they are won by a rename.
 */
#ifndef BERTH_DRIVER_WARM_WARM_H
#define BERTH_DRIVER_WARM_WARM_H

#include "driver/backend/backend.h"
#include "driver/record/pool.h"
#include "driver/remote/connection.h"
#include "driver/task/task.h"

/* How much longer than its MaxAge a task waits for a client before it exits. */
#define WARM_LOGIN_SPARE_MS (60 * 1000)

/* 'config' with the settings of an entry; it shares all memory with 'config' and is not freed. */
void warm_apply(const struct config *config, const struct config_warm *entry,
                struct config *out_config);
/* What the present job asks for, or with the configuration of warm_apply() and without a job, what
 * the entry's tasks are for. Returns as 'requirements' in backend.h. */
int warm_wish(const struct config *config, const struct backend *backend,
              char out_wish[METADATA_WISH_BYTES], struct error *err)
    __attribute__((warn_unused_result));
/* The wishes of all entries, in their order, with checks against the backend; no job variable may
 * be set. An empty one: no job can get such a task, which is logged. The caller frees the array. */
int warm_wishes(const struct config *config, const struct backend *backend,
                char (**out_wishes)[METADATA_WISH_BYTES], struct error *err)
    __attribute__((warn_unused_result));
/* Whose tasks the entries' are: backend and file. Runners with other files may share the pool. */
void warm_owner(const struct config *config, const struct backend *backend,
                char out_owner[METADATA_WISH_BYTES]);
/* The image or task definition, for messages. */
const char *warm_name(const struct config_warm *entry);

/* Gives a warm task to the job: 'task' is filled as by task_launch(). Returns 1; 0: there is none,
 * the job starts cold; -1. 'out_taken' is set if the pool has fewer tasks than before. */
int warm_claim(struct task *task, const char *job, struct ssh_connection **out_connection,
               bool *out_taken, struct error *err) __attribute__((warn_unused_result));

/* Starts a process that fills the pool, and does not wait for it. A failure is logged: the next
 * 'warm' fills the pool. */
void warm_replace(const struct config *config, const struct backend *backend);

/* Removes the variables of a job from the environment of this process. */
void warm_forget_job(void);

struct warm_fill {
    const struct config *config;
    const struct backend *backend;
    struct signals *signals;
    bool drain;       /* stop all tasks, launch none */
    bool skip_if_due; /* wait for a second, or return if another process is about to do the same */
    size_t launched, stopped, failed;
};

/* Launches and stops tasks. Failures of single tasks are logged and counted. */
int warm_fill(struct warm_fill *fill, struct error *err) __attribute__((warn_unused_result));

#endif
