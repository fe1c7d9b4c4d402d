/* SPDX-License-Identifier: MIT */
/*
 * task.h - the life of a task as the stages see it: launched, reached by SSH, stopped.
 *
 * What 'prepare', 'run', 'cleanup' and 'exec' have in common. Whoever launches owns the metadata;
 * task_launch() leaves nothing behind when it fails.
 */
#ifndef BERTH_DRIVER_TASK_H
#define BERTH_DRIVER_TASK_H

#include "driver/backend.h"
#include "driver/ssh.h"
#include "driver/watch.h"

struct task {
    struct backend_task at_backend;
    const struct backend *backend;
    bool recorded;      /* keep a metadata file: 'exec' does not need one */
    struct watch watch; /* of the link that task_reconnect() made last */
    char name[64];      /* "local-1234", once launched */
    int64_t launched_after_ms;
    int64_t ready_after_ms;
};

/* New keys, the intent on disk, the task launched, and a login that proves host key and user key.
 * 'out_link' is that login's connection. */
int task_launch(struct task *task, const char *job, struct ssh_link **out_link, struct error *err)
    __attribute__((warn_unused_result));

/* For a task that an earlier process launched: its metadata must be in place. */
int task_connect(struct task *task, struct ssh_link **out_link, struct error *err)
    __attribute__((warn_unused_result));

/* For a task that answered before: tries again and again, whatever breaks on the way, until the
 * deadline (errno ETIMEDOUT), a request to stop (EINTR), or until it is of no use: the task has
 * ended, or what answers is not the task. */
int task_reconnect(struct task *task, int64_t deadline_ms, struct ssh_link **out_link,
                   struct error *err) __attribute__((warn_unused_result));

/* One more connection beside the one that is in use, for what cannot wait for it. */
int task_second_link(struct task *task, int64_t deadline_ms, struct ssh_link **out_link,
                     struct error *err) __attribute__((warn_unused_result));

/* Stops it, removes what it left and the metadata file. */
int task_stop(struct task *task, struct error *err) __attribute__((warn_unused_result));

/* Finds the task of a job by its metadata. Returns 1, 0 when there is none, -1 on failure. */
int task_find(struct task *task, const char *job, struct error *err)
    __attribute__((warn_unused_result));

/* Fills the parts of a request that come from the configuration. */
void task_request(const struct task *task, struct ssh_request *out_request);

void task_done(struct task *task);

#endif
