/* SPDX-License-Identifier: MIT */
/*
 * service_logs.h - prints the logs of a job's services while a stage runs, for CI_DEBUG_SERVICES.
 *
 * A child process reads them through the backend and prints them on stderr, since the parent is
 * busy with the stage. It begins where the stage before ended, prints at most
 * SERVICE_LOGS_CEILING_BYTES, and reports how far it came; service_logs_stop() notes that in the
 * metadata. The child has no key and is killed with its parent. Failures are debug lines: the job
 * does not depend on them.
 */
#ifndef BERTH_DRIVER_TASK_SERVICE_LOGS_H
#define BERTH_DRIVER_TASK_SERVICE_LOGS_H

#include <sys/types.h>

#include "driver/task/task.h"

#define SERVICE_LOGS_CEILING_BYTES (4UL << 20) /* of one stage */

struct service_logs {
    pid_t pid;     /* 0: none */
    int end_fd;    /* eventfd: the child is to finish. A pipe would stay open in the watcher */
    int report_fd; /* the child's report */
};

/* Does nothing unless the job sets CI_DEBUG_SERVICES and the backend has logs of services. */
void service_logs_start(struct service_logs *logs, struct task *task);
void service_logs_stop(struct service_logs *logs, struct task *task);

#endif
