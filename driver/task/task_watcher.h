/* SPDX-License-Identifier: MIT */
/*
 * task_watcher.h - watches a task through its backend while a script runs in it over SSH.
 *
 * A stopped task may leave its connection open and silent. So a child process asks the backend from
 * time to time. When the task has ended, the child writes the reason to a pipe and shuts the
 * connection's socket down: the parent then sees a lost connection and gets the reason from
 * task_watcher_reason(). A child asks, not the process that passes output on, because a call to AWS
 * can take a minute.
 *
 * task_watcher_start() forks; the child holds no key and is killed with its parent.
 * task_watcher_stop() ends it and may be called twice; after it there is no reason. A failed start
 * is a warning, not an error: keepalives still detect a lost connection.
 */
#ifndef BERTH_DRIVER_TASK_TASK_WATCHER_H
#define BERTH_DRIVER_TASK_TASK_WATCHER_H

#include <stdbool.h>
#include <sys/types.h>

#include "driver/backend/backend.h"
#include "driver/remote/connection.h"

struct task_watcher {
    pid_t pid;     /* 0: none */
    int reason_fd; /* the child writes a struct error here; valid with a pid */
};

/* Does nothing for a backend without watch_pause_ms. */
void task_watcher_start(struct task_watcher *watch, const struct backend *backend,
                        struct backend_task *task, const struct ssh_connection *connection);
void task_watcher_stop(struct task_watcher *watch);
/* Whether the child found that the task has ended, and why. */
bool task_watcher_reason(const struct task_watcher *watch, struct error *out_reason);

#endif
