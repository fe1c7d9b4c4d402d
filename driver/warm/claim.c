/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/remote/claim.h"
#include "driver/task/start_report.h"
#include "driver/warm/warm.h"

#define FIRST_MS    1000  /* an exited task shows itself by then */
#define SECOND_MS   4000  /* for one that runs on a busy machine */
#define CLAIM_MS    10000 /* for all tasks together; then the job starts cold */
#define CLAIMED_MS  10000
#define AGE_SPARE_S 5 /* a task that is about to be replaced is left alone */

struct claim {
    const struct config *config;
    const char *job;
    char wish[METADATA_WISH_BYTES];
    struct pool pool;
};

static bool fits(const struct claim *claim, const struct backend *backend,
                 const struct pool_record *record, int64_t now_s)
{
    return record->state == POOL_READY && strcmp(record->warm.wish, claim->wish) == 0 &&
           strcmp(record->backend, backend->name) == 0 &&
           now_s - record->warm.ready_at_s + AGE_SPARE_S < record->warm.max_age_s;
}

/* The oldest that fits; NULL: none. */
static struct pool_record *choose(const struct claim *claim, const struct backend *backend)
{
    struct pool_record *oldest = NULL;
    int64_t now_s = clock_unix_s();
    for (size_t i = 0; i < claim->pool.count; i++) {
        struct pool_record *record = &claim->pool.records[i];
        if (fits(claim, backend, record, now_s) &&
            (oldest == NULL || record->warm.ready_at_s < oldest->warm.ready_at_s)) {
            oldest = record;
        }
    }
    return oldest;
}

/* A task with a helper has two agents, and each is idle while stages run in the other: from the
 * claim on they wait for longer. */
static int connect_and_claim(struct task *task, int64_t deadline_ms,
                             struct ssh_connection **out_connection, struct error *err)
{
    struct ssh_connection *connection = NULL;
    if (task_connect_again(task, deadline_ms, &connection, err) < 0 ||
        (task->backend_task.metadata->has_helper &&
         ssh_claim(connection, task->backend_task.signals, deadline_ms, err) < 0)) {
        ssh_connection_free(connection);
        return -1;
    }
    *out_connection = connection;
    return 0;
}

static int connect_to(struct task *task, enum metadata_container container,
                      struct ssh_connection **out_connection, struct error *err)
{
    struct error gone;
    task->container = container;
    int result = connect_and_claim(task, clock_deadline_ms(FIRST_MS), out_connection, err);
    if (result < 0 && err->kind != ERROR_PEER && !signals_pending(task->backend_task.signals)) {
        if (task_why(task, false, &gone) < 0) {
            *err = gone;
        } else {
            result = connect_and_claim(task, clock_deadline_ms(SECOND_MS), out_connection, err);
        }
    }
    if (result == 0) {
        task->backend_task.start.login_ms += ssh_connection_login_ms(*out_connection);
    }
    task->container = METADATA_JOB;
    return result;
}

static int reach(struct task *task, struct ssh_connection **out_connection, struct error *err)
{
    struct ssh_connection *helper = NULL;
    struct ssh_connection *connection = NULL;
    if (connect_to(task, METADATA_JOB, &connection, err) < 0) {
        return -1;
    }
    if (task->backend_task.metadata->has_helper) {
        if (connect_to(task, METADATA_HELPER, &helper, err) < 0) {
            ssh_connection_free(connection);
            return error_wrap(err, "helper container");
        }
        ssh_connection_free(helper);
    }
    *out_connection = connection;
    return 0;
}

static void mark_claimed(struct task *task)
{
    struct error own;
    const struct backend *backend = task->backend;
    if (backend->claimed != NULL &&
        backend->claimed(&task->backend_task, clock_deadline_ms(CLAIMED_MS), &own) < 0) {
        char text[ERROR_TEXT_BYTES];
        log_warn("%s", error_text(&own, text));
    }
}

/* Makes the record the job's. 1: it is, and the task can be reached; 0: another process was first,
 * or the task is not usable and spent; -1: it is the job's, but cannot be saved. */
static int take(const struct claim *claim, const struct pool_record *record, struct task *task,
                struct ssh_connection **out_connection, bool *out_taken, struct error *err)
{
    const char *directory = claim->config->metadata_directory;
    char spent[METADATA_JOB_BYTES];
    int won = metadata_rename(directory, record->key, claim->job, err);
    if (won <= 0) {
        return won;
    }
    *out_taken = true;
    if (task_find(task, claim->job, err) != 1) {
        return error_wrap(err, "cannot use the warm task %s", record->task);
    }
    task->backend_task.metadata->origin = task->origin;
    if (metadata_save(task->backend_task.metadata, directory, err) < 0) {
        return -1;
    }
    /* The other times are of a start that was before the job, which did not wait for it. */
    start_report_init(&task->backend_task.start);
    if (reach(task, out_connection, err) == 0) {
        mark_claimed(task);
        return 1;
    }
    if (signals_pending(task->backend_task.signals)) {
        return -1;
    }
    char text[ERROR_TEXT_BYTES];
    log_warn("the warm task %s cannot be used: %s; trying another, or starting cold", task->name,
             error_text(err, text));
    return pool_retire(directory, claim->job, record->task, spent, err) < 0 ? -1 : 0;
}

static int take_one(struct claim *claim, struct task *task, struct ssh_connection **out_connection,
                    bool *out_taken, struct error *err)
{
    int64_t deadline_ms = clock_deadline_ms(CLAIM_MS);
    struct pool_record *record = NULL;
    while (clock_now_ms() < deadline_ms && (record = choose(claim, task->backend)) != NULL) {
        struct task own = *task;
        int result = take(claim, record, &own, out_connection, out_taken, err);
        if (result != 0) {
            *task = own;
            return result;
        }
        task_done(&own);
        record->state = POOL_SPENT; /* as far as this job is concerned */
    }
    return 0;
}

int warm_claim(struct task *task, const char *job, struct ssh_connection **out_connection,
               bool *out_taken, struct error *err)
{
    const struct config *config = task->backend_task.config;
    struct claim claim = {.config = config, .job = job};
    int64_t started_ms = clock_now_ms();
    *out_taken = false;
    if (config->warm_count == 0) {
        return 0;
    }
    struct error unknown;
    int result = warm_wish(config, task->backend, claim.wish, &unknown);
    if (result <= 0) {
        if (result < 0) {
            log_debug("%s", unknown.message); /* the cold start reports it */
        }
        return 0;
    }
    result = pool_read(config->metadata_directory, &claim.pool, err);
    if (result == 0 && claim.pool.count > 0) {
        /* From the rename on the record has this job's key, and no driver that 'gc' could see. */
        metadata_directory_hold(config->metadata_directory, job);
        result = take_one(&claim, task, out_connection, out_taken, err);
    }
    pool_done(&claim.pool);
    if (result < 0 && task->backend_task.metadata != NULL) {
        struct error second;
        if (task_stop(task, &second) < 0) {
            char text[ERROR_TEXT_BYTES];
            log_warn("%s", error_text(&second, text)); /* the runner's cleanup stage tries again */
        }
    }
    task->ready_after_ms = result == 1 ? clock_now_ms() - started_ms : 0;
    return result;
}
