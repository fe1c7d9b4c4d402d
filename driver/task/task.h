/* SPDX-License-Identifier: MIT */
/*
 * task.h - a task as the stages see it: found, reached by SSH, watched, stopped. launch.h launches
 * it.
 *
 * Shared by 'prepare', 'run', 'cleanup' and 'exec'. The caller zeroes the struct and ends it with
 * task_done(), which frees the metadata in it. Connections are the caller's. Times are
 * milliseconds; deadlines are absolute.
 */
#ifndef BERTH_DRIVER_TASK_TASK_H
#define BERTH_DRIVER_TASK_TASK_H

#include "driver/backend/backend.h"
#include "driver/remote/connection.h"
#include "driver/remote/request.h"
#include "driver/task/task_watcher.h"

struct task {
    struct backend_task backend_task;
    const struct backend *backend;
    enum metadata_container container; /* the one that is reached; default: the job's */
    bool has_metadata;                 /* keep a metadata file */
    struct origin origin;              /* for that file: the process that launches */
    struct metadata_warm warm;         /* the same: of a task that no job has yet */
    struct task_watcher watch; /* of the current connection, once the task was reached again */
    bool ended;                /* it has ended, for 'end'; this is final */
    struct error end;
    char name[64];            /* such as "local-1234", once launched */
    int64_t fetched_after_ms; /* of the images, before the launch that the next two count from */
    int64_t launched_after_ms;
    int64_t ready_after_ms; /* both from the launch, before which an image is downloaded */
};

/* Whether the task was reached before. */
enum task_contact { TASK_FIRST_CONTACT, TASK_LATER_CONTACT };

/* Whether the backend put our agent into the containers. */
bool task_has_our_agent(const struct metadata *metadata);

/* As task_log_in(), but no try begins after 'last_try_ms'. */
int task_log_in_by(struct task *task, enum metadata_container container, enum task_contact contact,
                   int64_t last_try_ms, int64_t deadline_ms, struct ssh_connection **out_connection,
                   struct error *err) __attribute__((warn_unused_result));
/* Logs in to one container, with retries until the deadline, a request to stop or the end of the
 * task. An image without our agent may present its own host key on the first contact. */
int task_log_in(struct task *task, enum metadata_container container, enum task_contact contact,
                int64_t deadline_ms, struct ssh_connection **out_connection, struct error *err)
    __attribute__((warn_unused_result));

/* Returns -1 with the reason when the task has ended, as seen by the watcher, by an earlier answer
 * of the backend, or by the one that it gives now. */
int task_check_alive(struct task *task, enum backend_asking asking, struct error *err)
    __attribute__((warn_unused_result));

/* For a task that an earlier process launched: its metadata must be in place. The same for
 * task_reconnect() and task_connect_again(): 'container' says which of its agents is reached. */
int task_connect(struct task *task, struct ssh_connection **out_connection, struct error *err)
    __attribute__((warn_unused_result));

/* Asks the backend whether the task has ended; -1 with the reason if so. 'patient': there is a sign
 * that it is ending, which the backend may report some seconds later. */
int task_why(struct task *task, bool patient, struct error *err)
    __attribute__((warn_unused_result));

/* After a job that failed for no reason of its own: if the task has ended, puts that before 'err'.
 * Returns -1. */
int task_explain(struct task *task, bool patient, struct error *err);

/* For a task whose connection has just broken. Retries until the deadline (errno ETIMEDOUT), a
 * request to stop (EINTR), the end of the task, or a host key mismatch. */
int task_reconnect(struct task *task, int64_t deadline_ms, struct ssh_connection **out_connection,
                   struct error *err) __attribute__((warn_unused_result));

/* Opens one more connection beside the one that is in use. */
int task_connect_again(struct task *task, int64_t deadline_ms,
                       struct ssh_connection **out_connection, struct error *err)
    __attribute__((warn_unused_result));

/* Stops the task, removes its leftovers and the metadata file. */
int task_stop(struct task *task, struct error *err) __attribute__((warn_unused_result));

/* Finds the task of a job by its metadata. Returns 1, 0 when there is none, -1 on failure. */
int task_find(struct task *task, const char *job, struct error *err)
    __attribute__((warn_unused_result));

/* The name to look a task up by: its ARN on ECS, else its name; empty when there is none. */
void task_identity(const struct task *task, char *out, size_t room);

/* Marks the job as held by a driver, for 'gc', until this process ends. */
void task_hold(const struct task *task);

/* One connection to another container than 'container', or to the same; not watched. */
int task_connect_to(struct task *task, enum metadata_container container,
                    struct ssh_connection **out_connection, struct error *err)
    __attribute__((warn_unused_result));

/* Fills the parts of a request that come from the configuration. */
void task_request(const struct task *task, struct ssh_request *out_request);

void task_done(struct task *task);

#endif
