/* SPDX-License-Identifier: MIT */
/*
 * looks.h - DescribeTasks for all drivers that share a metadata directory.
 *
 * ECS describes up to 100 tasks in one call. A file in that directory has a slot for each task that
 * a driver waits for. The driver that needs an answer first asks for all tasks that are due, and
 * writes the answers into their slots; the others read them. One driver at a time has the turn to
 * ask; one that does not answer within a second loses it, so a killed or stopped driver holds up no
 * other for longer; and one that has waited for a turn in vain asks as well, if pace.h lets it.
 * Only drivers share that would send the same request but for the task: the same endpoint, region,
 * login, cluster and container. An answer counts only for a task that it names, from the moment
 * when its call began.
 *
 * Where the file cannot be used, or a call for several tasks is refused, each driver asks for
 * itself. Calls are spaced out by pace.h in any case. The file has a fixed size of holes, mode 0600
 * and no secret. Times are milliseconds of the monotonic clock (clock.h).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_LOOKS_H
#define BERTH_DRIVER_BACKEND_ECS_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define ECS_LOOKS_KEY_BYTES 16

struct backend_task;
struct ecs_view;

/* Part of the session of a task; all zeroes at first. */
struct ecs_looks {
    bool opened;
    int fd;          /* of the file, with 'opened'; -1: it cannot be used */
    bool alone;      /* a call for several tasks was refused */
    int index;       /* of the task's slot; it may have been given away meanwhile */
    int64_t pace_ms; /* a slot of pace.h, reserved for the next call; 0: none */
    int64_t busy_ms; /* since when no call was possible without a wait; 0: it was */
    int64_t seen_ms; /* when the call of the last answer began; 0: none yet */
    int64_t from_ms; /* of this process's first look at the task; older answers do not count */
    unsigned char scope[ECS_LOOKS_KEY_BYTES]; /* who may share */
    unsigned char task[ECS_LOOKS_KEY_BYTES];
};

/* What is asked for. */
struct ecs_look {
    int64_t since_ms;    /* an answer to a call that began at this time or later */
    int64_t until_ms;    /* how long to wait for a turn; a time that has passed: not at all */
    int64_t deadline_ms; /* of the call itself, with its retries */
    int64_t pause_ms;    /* from the answer to the next look; 0: not known */
};

/* Looks at the task whose ARN is in its state. Returns 1 and 'out_view'; 0: no turn came, or a
 * request to stop; -1: ERROR_SYSTEM if a retry may help, else ERROR_USAGE. The task needs a
 * session. */
int ecs_looks_ask(struct backend_task *task, const struct ecs_look *look, struct ecs_view *out_view,
                  struct error *err) __attribute__((warn_unused_result));

/* Closes the file. */
void ecs_looks_done(struct ecs_looks *looks);

#endif
