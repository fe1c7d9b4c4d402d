/* SPDX-License-Identifier: MIT */
/*
 * durable.h - the part of a job's monitor that makes the job outlive its connections.
 *
 * The monitor calls it; it reads the job's output into a spool, tells the attached session what
 * there is, gives room back as the session acknowledges, and keeps the result until the session
 * releases it. While the session is busy with what it knows of, output waits in the pipe: two
 * processes that move large pieces in turns are woken less than two that chase each other. A job
 * that writes as fast as its session sends is lent to the session (lease.h). init sends a new
 * session's socket over 'control'; the newest one wins. Without a session the job goes on until its
 * output fills the spool, and is ended when nobody attaches within the time of --detach-timeout.
 */
#ifndef BERTH_AGENT_JOB_DURABLE_H
#define BERTH_AGENT_JOB_DURABLE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/job/spool.h"
#include "agent/job/start.h"
#include "agent/options.h"
#include "agent/wire.h"

#define DURABLE_ENTRIES 4

struct durable {
    const struct agent_options *options;
    struct job *job; /* its output descriptors are read and closed here */
    struct spool spool;
    int control;   /* from init */
    int session;   /* -1: detached */
    bool full;     /* the pool had no room: nothing is read until something is released */
    uint64_t sent; /* of both streams together, as far as the session told */
    uint64_t acked[SPOOL_STREAMS]; /* likewise */
    int64_t patience_ms;           /* until then a session that is busy is left alone */
    int64_t lease_ms;              /* when the job's speed, or its lease, is looked at again */
    uint64_t lease_from;           /* bytes read before that */
    bool lent;   /* the session reads the output; the spool's numbers here are old */
    bool untold; /* the session has not heard of all output, or of the end */
    bool exited; /* 'result' is filled; output may still come */
    bool over;   /* the output is complete */
    bool released;
    bool closing;   /* the agent ends: the result waits for nobody */
    bool abandoned; /* nobody came back in time */
    struct wire_message result;
    int64_t drain_ms;    /* deadline, once exited */
    int64_t deadline_ms; /* for somebody to attach; CLOCK_NEVER while attached */
};

/* 'control' and 'session' are taken, also on failure. */
int durable_open(struct durable *durable, const struct agent_options *options, struct job *job,
                 int control, int session, struct error *err) __attribute__((warn_unused_result));
void durable_close(struct durable *durable);

/* The job runs: tells the session that asked for it. */
void durable_started(struct durable *durable);
/* Its shell ended, and whatever had to be ended with it. */
void durable_exited(struct durable *durable, const struct wire_message *result);
/* The agent is being ended. */
void durable_shut_down(struct durable *durable);

void durable_prepare(const struct durable *durable, struct pollfd entries[DURABLE_ENTRIES]);
int64_t durable_deadline_ms(const struct durable *durable);

/* Moves what can be moved. 'on_signal' is called for each signal that the session asked for.
 * Returns false once when nobody came back in time, and the job is to be ended. */
bool durable_service(struct durable *durable, void (*on_signal)(void *context, int number),
                     void *context);

/* Whether nothing is left to keep. */
bool durable_is_done(const struct durable *durable);

#endif
