/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/base/file_lock.h"
#include "driver/task/launch.h"
#include "driver/warm/backoff.h"
#include "driver/warm/warm.h"

#define LIST_MS        30000
#define LOCK_MS        120000 /* longer than LIST_MS, for which a process may hold the lock */
#define CLAIMED_MS     1000
#define CHILD_PAUSE_MS 20
#define CHILD_CEILING  16 /* launches and stops at a time */
#define ROUND_CEILING  200
/* A backend may not list a task yet that has just been launched; a clock is corrected by less. */
#define SETTLED_S      30
#define DRAIN_MS       120000
#define DRAIN_PAUSE_MS 200

/* A task of the pool as its backend lists it. */
struct listed {
    char task[METADATA_JOB_BYTES];
    bool has_ended;
};

/* One decision. */
struct round {
    struct warm_fill *fill;
    const char *directory;
    char owner[METADATA_WISH_BYTES];
    char (*wishes)[METADATA_WISH_BYTES];
    struct pool pool;
    struct warm_backoff backoff;
    int64_t now_s;
    int64_t listed_s; /* when the list of tasks was begun */
    struct listed *listed;
    size_t listed_count;
    int64_t *counts; /* of launching and ready tasks, for each entry */
    size_t total;    /* records in the pool */
    bool tries;      /* a launch for an entry whose last one failed */
    size_t children;
    pid_t pids[CHILD_CEILING];
};

/* An exclusive lock on a file of this directory; the caller closes 'out_fd'. Returns 1, 0 when it
 * is held by another process (at once, or at the deadline), -1. */
static int lock(const struct warm_fill *fill, const char *name, int64_t deadline_ms, int *out_fd,
                struct error *err)
{
    const char *directory = fill->config->metadata_directory;
    cleanup_fd int directory_fd = -1;
    cleanup_fd int fd = -1;
    if (metadata_directory_make(directory, &directory_fd, err) < 0 ||
        metadata_directory_open_file(directory_fd, directory, name, O_RDWR | O_CREAT, &fd, err) <
            0) {
        return -1;
    }
    int locked = file_lock(fd, fill->signals, deadline_ms);
    if (locked < 0) {
        return errno == EINTR
                   ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
                   : error_set(err, ERROR_SYSTEM, errno, "cannot lock '%s/%s'", directory, name);
    }
    *out_fd = locked == 1 ? steal_fd(&fd) : -1;
    return locked;
}

/* A child process may still have the descriptor. */
static void unlock(int *fd)
{
    if (*fd >= 0) {
        (void)flock(*fd, LOCK_UN);
        (void)close(*fd);
        *fd = -1;
    }
}

static int note_listed(void *context, const struct backend_listed *listed, struct error *err)
{
    struct round *round = context;
    if (!pool_has_key(listed->job)) {
        return 0;
    }
    struct listed *entries = reallocarray(round->listed, round->listed_count + 1, sizeof(*entries));
    if (entries == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    round->listed = entries;
    struct listed *entry = &entries[round->listed_count++];
    memcpy(entry->task, listed->job, sizeof(entry->task));
    entry->has_ended = listed->ended;
    return 0;
}

static bool has_ended(const struct round *round, const struct pool_record *record)
{
    for (size_t i = 0; i < round->listed_count; i++) {
        if (strcmp(round->listed[i].task, record->task) == 0) {
            return round->listed[i].has_ended;
        }
    }
    return record->warm.ready_at_s + SETTLED_S < round->listed_s;
}

static int read_pool(struct round *round, struct error *err)
{
    const struct warm_fill *fill = round->fill;
    round->directory = fill->config->metadata_directory;
    warm_owner(fill->config, fill->backend, round->owner);
    round->counts = calloc(fill->config->warm_count + 1, sizeof(*round->counts));
    if (round->counts == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the pool");
    }
    int result = pool_read(round->directory, &round->pool, err);
    round->now_s = clock_unix_s();
    round->total = round->pool.count;
    if (result == 0) {
        result = warm_backoff_open(&round->backoff, fill->config, round->owner, round->now_s, err);
        /* 'warm --drain' ends all pauses. */
        warm_backoff_prune(&round->backoff, round->wishes,
                           fill->drain ? 0 : fill->config->warm_count);
    }
    return result;
}

/* The entry whose tasks have this wish; -1: none, so the configuration has changed. */
static int entry_of(const struct round *round, const char *wish)
{
    for (size_t i = 0; i < round->fill->config->warm_count; i++) {
        if (wish[0] != '\0' && strcmp(round->wishes[i], wish) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int64_t wanted(const struct round *round, size_t entry)
{
    const struct config_warm *warm = &round->fill->config->warm[entry];
    return round->fill->drain || round->wishes[entry][0] == '\0' /* no job would get one */
               ? 0
               : schedule_wanted(&warm->schedule, round->now_s, warm->tasks);
}

/* Whether it was launched for an entry of this file; another file's entries are not known here. */
static bool is_own(const struct round *round, const struct pool_record *record)
{
    return record->warm.owner[0] == '\0' || strcmp(record->warm.owner, round->owner) == 0;
}

/* Why a ready task cannot stay; NULL: it can. */
static const char *reason_to_stop(const struct round *round, const struct pool_record *record)
{
    int64_t age_s = round->now_s - record->warm.ready_at_s;
    int entry = entry_of(round, record->warm.wish);
    if (round->fill->drain) {
        return "the pool is drained";
    }
    if (entry < 0 && is_own(round, record)) {
        return "it fits no [[Warm]] any more";
    }
    if (age_s < -SETTLED_S) {
        return "the clock was set back, so its age is not known";
    }
    if (age_s >= record->warm.max_age_s ||
        (entry >= 0 && age_s * 1000 >= round->fill->config->warm[entry].max_age_ms)) {
        return "it has reached MaxAge";
    }
    if (strcmp(record->backend, round->fill->backend->name) == 0 && has_ended(round, record)) {
        return "it has exited";
    }
    return NULL;
}

/* Ends a launched task, under its spent key; the process's exit status says whether it worked. */
static int stop_task(const struct warm_fill *fill, const char *key, struct error *err)
{
    struct task task = {.backend_task = {.config = fill->config}};
    int found = task_find(&task, key, err);
    int result = found == 1 ? task_stop(&task, err) : found;
    task_done(&task);
    return result;
}

static int launch_task(const struct warm_fill *fill, size_t entry, const char *key,
                       const char *wish, struct error *err)
{
    static char strict[] = "strict";
    static char always[] = "always";
    const struct config_warm *warm = &fill->config->warm[entry];
    struct config own;
    warm_apply(fill->config, warm, &own);
    if (strcmp(own.helper.use, "never") != 0) {
        own.helper.use = always; /* a job that would have a helper gets one */
    }
    own.ssh_host_key = strict; /* a task with another SSH server is never warm */
    struct task task = {
        .backend_task = {.config = &own,
                         .signals = fill->signals,
                         .login_within_ms = warm->max_age_ms + WARM_LOGIN_SPARE_MS},
        .backend = fill->backend,
        .has_metadata = true,
        .warm = {.max_age_s = warm->max_age_ms / 1000},
    };
    struct ssh_connection *connection = NULL;
    (void)snprintf(task.warm.wish, sizeof(task.warm.wish), "%s", wish);
    warm_owner(fill->config, fill->backend, task.warm.owner);
    origin_of_exec(&own, &task.origin);
    int result = task_launch(&task, key, &connection, err);
    ssh_connection_free(connection);
    if (result == 0) {
        /* From this write on the record is any claimer's: nothing here may write it again. */
        task.backend_task.metadata->warm.ready_at_s = clock_unix_s();
        result = metadata_save(task.backend_task.metadata, own.metadata_directory, err);
        struct error second;
        if (result < 0 && task_stop(&task, &second) < 0) {
            log_warn("%s", second.message);
        }
    }
    task_done(&task);
    return result < 0 ? error_wrap(err, "cannot launch a warm task of '%s'", warm_name(warm)) : 0;
}

/* Waits for all children, and counts those that failed. A request to stop is theirs, too. */
static void reap(struct round *round)
{
    struct signals *signals = round->fill->signals; /* NULL: the request was passed on */
    for (size_t i = 0; i < round->children; i++) {
        int status = 0;
        cleanup_fd int fd = (int)syscall(SYS_pidfd_open, round->pids[i], 0U);
        while (waitpid(round->pids[i], &status, WNOHANG) == 0) {
            /* Kernels before 5.3 have no such descriptor. */
            int64_t look_ms = fd < 0 ? clock_deadline_ms(CHILD_PAUSE_MS) : CLOCK_NEVER;
            if (signals_wait(signals, fd, look_ms) < 0) {
                signals = NULL;
                for (size_t left = i; left < round->children; left++) {
                    (void)kill(round->pids[left], SIGTERM);
                }
            }
        }
        round->fill->failed += status != 0 ? 1 : 0;
    }
    round->children = 0;
}

/* Forks a process that works on one task. The lock that marks the key as held passes to it. */
static pid_t start_child(struct round *round, const char *key, int plan_fd)
{
    int hold_fd = metadata_directory_hold_fd(round->directory, key);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(plan_fd); /* or the plan would be locked until the task is launched */
        log_share_terminal(); /* one bar would overwrite another */
    } else if (hold_fd >= 0) {
        (void)close(hold_fd);
    }
    if (pid > 0) {
        round->pids[round->children++] = pid;
    } else if (pid < 0) {
        log_warn("cannot start a process for '%s'", key);
        round->fill->failed++;
    }
    return pid;
}

__attribute__((noreturn)) static void end_stop(int result, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    if (result < 0) {
        log_error("%s", error_text(err, text));
    }
    _exit(result < 0 ? 1 : 0);
}

__attribute__((noreturn)) static void end_launch(const struct round *round, size_t entry,
                                                 int result, const struct error *err)
{
    const char *wish = round->wishes[entry];
    char text[ERROR_TEXT_BYTES];
    if (result == 0) {
        warm_backoff_succeeded(&round->backoff, wish);
    } else if (signals_requested(round->fill->signals)) { /* stopped, not failed */
        log_error("%s", error_text(err, text));
    } else {
        warm_backoff_failed(&round->backoff, wish, warm_name(&round->fill->config->warm[entry]),
                            err);
    }
    _exit(result < 0 ? 1 : 0);
}

static void stop_one(struct round *round, const struct pool_record *record, const char *why,
                     int plan_fd)
{
    char key[METADATA_JOB_BYTES];
    struct error own = {0};
    int renamed = 1;
    memcpy(key, record->key, sizeof(key));
    if (!pool_is_spent(key)) {
        renamed = pool_retire(round->directory, record->key, record->task, key, &own);
    }
    if (renamed <= 0) { /* 0: a job has claimed it meanwhile */
        if (renamed < 0) {
            log_warn("%s", own.message);
            round->fill->failed++;
        }
        return;
    }
    log_info("stopping the warm task '%s': %s", record->task, why);
    round->fill->stopped++;
    if (start_child(round, key, plan_fd) == 0) {
        end_stop(stop_task(round->fill, key, &own), &own);
    }
}

/* The record comes first, so that the task is counted from the moment when the plan is unlocked. */
static int launch_one(struct round *round, size_t entry, int plan_fd, struct error *err)
{
    char key[METADATA_JOB_BYTES];
    const struct config_warm *warm = &round->fill->config->warm[entry];
    pool_new_key(key);
    struct metadata *metadata = metadata_new(key, round->fill->backend->name, err);
    if (metadata == NULL) {
        return -1;
    }
    memcpy(metadata->warm.wish, round->wishes[entry], sizeof(metadata->warm.wish));
    memcpy(metadata->warm.owner, round->owner, sizeof(metadata->warm.owner));
    metadata->warm.max_age_s = warm->max_age_ms / 1000;
    origin_of_exec(round->fill->config, &metadata->origin);
    int result = metadata_save(metadata, round->directory, err);
    metadata_free(metadata);
    if (result < 0) {
        return -1;
    }
    round->fill->launched++;
    round->total++;
    pid_t pid = start_child(round, key, plan_fd);
    if (pid == 0) {
        struct error own = {0};
        result = launch_task(round->fill, entry, key, round->wishes[entry], &own);
        end_launch(round, entry, result, &own);
    }
    return pid < 0 ? metadata_remove(round->directory, key, err) : 0;
}

static bool has_room(const struct round *round)
{
    return round->children < CHILD_CEILING;
}

/* What must go whatever the numbers are. */
static void stop_unusable(struct round *round, int plan_fd)
{
    for (size_t i = 0; i < round->pool.count; i++) {
        struct pool_record *record = &round->pool.records[i];
        const char *why = record->state == POOL_READY   ? reason_to_stop(round, record)
                          : record->state == POOL_SPENT ? "it was given up"
                          : record->state == POOL_LEFT  ? "its launch was interrupted"
                                                        : NULL;
        int entry = entry_of(round, record->warm.wish);
        if (why != NULL && has_room(round)) {
            stop_one(round, record, why, plan_fd);
            record->state = POOL_STOPPING;
        } else if (why == NULL && entry >= 0 &&
                   (record->state == POOL_READY || record->state == POOL_LAUNCHING)) {
            round->counts[entry]++;
        }
    }
}

/* The oldest ready task beyond the number wanted, if it has been idle for long enough. */
static void stop_surplus(struct round *round, size_t entry, int plan_fd)
{
    const struct config_warm *warm = &round->fill->config->warm[entry];
    while (round->counts[entry] > wanted(round, entry) && has_room(round)) {
        struct pool_record *oldest = NULL;
        for (size_t i = 0; i < round->pool.count; i++) {
            struct pool_record *record = &round->pool.records[i];
            if (record->state == POOL_READY && entry_of(round, record->warm.wish) == (int)entry &&
                (round->now_s - record->warm.ready_at_s) * 1000 >= warm->idle_time_ms &&
                (oldest == NULL || record->warm.ready_at_s < oldest->warm.ready_at_s)) {
                oldest = record;
            }
        }
        if (oldest == NULL) {
            return;
        }
        stop_one(round, oldest, "fewer are wanted now", plan_fd);
        oldest->state = POOL_STOPPING;
        round->counts[entry]--;
    }
}

/* How many launches may begin for an entry: after a failure one, when its pause is over and no
 * other is going on. */
static int64_t launch_ceiling(struct round *round, size_t entry)
{
    const struct pool_failure *failure = warm_backoff_find(&round->backoff, round->wishes[entry]);
    if (failure == NULL) {
        return CHILD_CEILING;
    }
    for (size_t i = 0; i < round->pool.count; i++) {
        const struct pool_record *record = &round->pool.records[i];
        if (record->state == POOL_LAUNCHING && entry_of(round, record->warm.wish) == (int)entry) {
            return 0;
        }
    }
    return pool_failure_is_due(failure, round->now_s) ? 1 : 0;
}

static int launch_missing(struct round *round, size_t entry, int plan_fd, struct error *err)
{
    const struct config *config = round->fill->config;
    int64_t ceiling = launch_ceiling(round, entry);
    bool tries = ceiling == 1;
    while (round->counts[entry] < wanted(round, entry) && has_room(round) && ceiling > 0) {
        if (round->total >= (size_t)config->warm_tasks_maximum) {
            log_warn("'%s' has %lld of %lld warm tasks: [WarmPool] MaxTasks is %lld",
                     warm_name(&config->warm[entry]), (long long)round->counts[entry],
                     (long long)wanted(round, entry), (long long)config->warm_tasks_maximum);
            return 0;
        }
        if (launch_one(round, entry, plan_fd, err) < 0) {
            return -1;
        }
        round->counts[entry]++;
        round->tries = round->tries || tries;
        ceiling--;
    }
    return 0;
}

static int decide(struct round *round, int plan_fd, struct error *err)
{
    if (read_pool(round, err) < 0) {
        return -1;
    }
    stop_unusable(round, plan_fd);
    for (size_t i = 0; i < round->fill->config->warm_count; i++) {
        stop_surplus(round, i, plan_fd);
    }
    for (size_t i = 0; i < round->fill->config->warm_count; i++) {
        if (launch_missing(round, i, plan_fd, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int list_tasks(struct round *round, struct error *err)
{
    const struct warm_fill *fill = round->fill;
    round->listed_s = clock_unix_s();
    return fill->backend->list(fill->config, note_listed, round, clock_deadline_ms(LIST_MS), err) <
                   0
               ? error_wrap(err, "cannot list the tasks")
               : 0;
}

/* Waits until this process may decide. Returns 1 and 'out_fd'; 0: another process is waiting
 * already, and will see all that this one would. 'waits': for a second at least, in which the job
 * that has claimed a task begins without a launch beside it. All claims of that second need one
 * process that launches. */
static int take_turn(const struct warm_fill *fill, bool waits, int *out_fd, struct error *err)
{
    int turn_fd = -1;
    int64_t deadline_ms = clock_deadline_ms(LOCK_MS);
    int mine = lock(fill, ".warm-turn", fill->skip_if_due ? 0 : deadline_ms, &turn_fd, err);
    if (mine == 1 && waits) {
        (void)signals_wait(fill->signals, -1, clock_deadline_ms(CLAIMED_MS));
    }
    if (mine == 1) {
        mine = lock(fill, ".warm-plan", deadline_ms, out_fd, err);
    }
    unlock(&turn_fd);
    return mine == 0 && !fill->skip_if_due
               ? error_set(err, ERROR_SYSTEM, ETIMEDOUT, "another process keeps the pool locked")
               : mine;
}

static int run_round(struct warm_fill *fill, bool is_first, char (*wishes)[METADATA_WISH_BYTES],
                     bool *out_again, size_t *out_left, struct error *err)
{
    struct round round = {.fill = fill, .wishes = wishes};
    int plan_fd = -1;
    size_t stopped = fill->stopped;
    int result = take_turn(fill, is_first && fill->skip_if_due, &plan_fd, err);
    if (result == 1) {
        result = list_tasks(&round, err);
        result = result < 0 ? -1 : decide(&round, plan_fd, err);
    }
    unlock(&plan_fd);
    /* Stopped tasks make room for others, and more than one round may be needed; as may be the rest
     * of an entry whose launches have failed before. */
    *out_again = fill->stopped > stopped || !has_room(&round) || round.tries;
    *out_left = round.pool.count;
    reap(&round);
    pool_done(&round.pool);
    warm_backoff_done(&round.backoff);
    free(round.counts);
    free(round.listed);
    *out_again = *out_again && fill->failed == 0;
    return result;
}

/* Other processes may be launching tasks: waits for them, so that a drained pool is empty. */
static int wait_for_others(const struct warm_fill *fill, int64_t deadline_ms, size_t left,
                           struct error *err)
{
    if (clock_now_ms() >= deadline_ms) {
        return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                         "%zu warm tasks are still being launched or stopped", left);
    }
    return signals_wait(fill->signals, -1, clock_deadline_ms(DRAIN_PAUSE_MS)) < 0
               ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
               : 0;
}

int warm_fill(struct warm_fill *fill, struct error *err)
{
    char(*wishes)[METADATA_WISH_BYTES] = NULL;
    int64_t deadline_ms = clock_deadline_ms(DRAIN_MS);
    bool again = true;
    size_t left = 0;
    int result = 0;
    if (warm_wishes(fill->config, fill->backend, &wishes, err) < 0) {
        return -1;
    }
    for (int i = 0; result == 0 && again && i < ROUND_CEILING; i++) {
        result = run_round(fill, i == 0, wishes, &again, &left, err);
        if (result == 0 && !again && fill->drain && left > 0 && fill->failed == 0) {
            result = wait_for_others(fill, deadline_ms, left, err);
            again = true;
        }
    }
    free(wishes);
    return result < 0 ? -1 : 0;
}
