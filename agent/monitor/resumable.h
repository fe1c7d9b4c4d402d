/* SPDX-License-Identifier: MIT */
/*
 * resumable.h - the part of a monitor that keeps a job running without a connection.
 *
 * It reads the job's output into a spool, reports to the attached session how much there is,
 * releases what the session acknowledges, and keeps the result until the session releases it. While
 * the session is behind, output waits in the pipe, so that both processes move large pieces and
 * wake up less often. init sends a new session's socket over 'control'; it replaces the previous
 * one. Without a session the job runs until its output fills the spool, and is stopped when no
 * session attaches within --detach-timeout.
 */
#ifndef BERTH_AGENT_MONITOR_RESUMABLE_H
#define BERTH_AGENT_MONITOR_RESUMABLE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/child/start.h"
#include "agent/ipc/drain.h"
#include "agent/ipc/wire.h"
#include "agent/monitor/spool.h"
#include "agent/options.h"

#define RESUMABLE_ENTRIES 4

struct resumable {
    const struct agent_options *options;
    struct job *job; /* its output descriptors are read and closed here */
    struct spool spool;
    int control;             /* from init */
    int session;             /* -1: detached */
    bool full;               /* the spool is full: nothing is read until something is released */
    uint64_t sent;           /* of both streams together, as reported by the session */
    int64_t behind_until_ms; /* until then output waits for a session that is behind */
    bool notify_pending;     /* new output or the result has not been reported to the session */
    bool exited;             /* 'result' is filled; output may still come */
    bool over;               /* the output is complete */
    bool released;
    bool closing;   /* the agent shuts down: do not wait for a session to attach */
    bool abandoned; /* no session attached in time */
    struct wire_message result;
    struct drain drain;  /* once exited */
    int64_t deadline_ms; /* for a session to attach; CLOCK_NEVER while attached */
};

/* 'control' and 'session' are taken, also on failure. */
int resumable_open(struct resumable *resumable, const struct agent_options *options,
                   struct job *job, int control, int session, struct error *err)
    __attribute__((warn_unused_result));
void resumable_close(struct resumable *resumable);

/* The job has started: reports it to the session. */
void resumable_started(struct resumable *resumable);
/* The shell has exited, and the processes that had to be stopped with it. */
void resumable_exited(struct resumable *resumable, const struct wire_message *result);
/* The agent shuts down. */
void resumable_shut_down(struct resumable *resumable);

void resumable_prepare(const struct resumable *resumable, struct pollfd entries[RESUMABLE_ENTRIES]);
int64_t resumable_deadline_ms(const struct resumable *resumable);

/* Reads and writes what it can. Calls 'on_signal' for each signal that the session requests.
 * Returns false once, when no session has attached in time and the job must be stopped. */
bool resumable_service(struct resumable *resumable, void (*on_signal)(void *context, int number),
                       void *context);

/* Whether the monitor may exit. */
bool resumable_is_done(const struct resumable *resumable);

#endif
