/* SPDX-License-Identifier: MIT */
/*
 * watch.h - looks at a task from outside while a script runs in it over a link.
 *
 * A task that its place has stopped may leave its connection open and silent. So a child process
 * asks the backend now and then, and shuts the link's socket down when the task has ended: the
 * script's side then sees a lost link, asks the backend itself and tells why. The child asks AWS,
 * not the process that passes bytes on, for such a call can take a minute.
 *
 * watch_start() forks; the child holds no key and dies with its parent. watch_stop() ends it and
 * may be called twice. A watch that cannot be started is a warning in the log, no failure: the
 * keepalive still finds a dead link.
 */
#ifndef BERTH_DRIVER_WATCH_H
#define BERTH_DRIVER_WATCH_H

#include <sys/types.h>

#include "driver/backend.h"
#include "driver/ssh.h"

struct watch {
    pid_t pid; /* 0: none */
};

/* Nothing is started for a backend without watch_pause_ms. */
void watch_start(struct watch *watch, const struct backend *backend, struct backend_task *task,
                 const struct ssh_link *link);
void watch_stop(struct watch *watch);

#endif
