/* SPDX-License-Identifier: MIT */
/*
 * monitor_private.h - what monitor.c (the loop, and what it hears) and monitor_end.c (how the job
 * ends) share. Nothing else includes it.
 *
 * monitor_run() owns the struct. No function here fails: what cannot be sent or signalled is gone.
 */
#ifndef BERTH_AGENT_JOB_MONITOR_PRIVATE_H
#define BERTH_AGENT_JOB_MONITOR_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/job/durable.h"
#include "agent/job/monitor.h"
#include "agent/job/start.h"
#include "agent/job/usage.h"

enum monitor_state { MONITOR_RUNNING, MONITOR_ENDING, MONITOR_REPORTED, MONITOR_STATES };

struct monitor {
    enum monitor_state state;
    struct job job;
    int socket;              /* to the session; -1 once it hung up, and always for a durable job */
    struct durable *durable; /* NULL: an end of the connection is the end of the job */
    int signals;
    const struct monitor_setup *setup;
    int64_t started_ms;
    struct usage_watch usage;
    int64_t deadline_ms; /* of the state */
    bool signalled;      /* the client asked for the end: nothing of the job may outlive it */
    bool killing;        /* past the grace period */
    bool exited;         /* the job's shell has been reaped */
    bool alone;          /* no descendant is left */
    bool reported;
    int status; /* its wait status */
};

/* Ends every process of the job: SIGTERM now, SIGKILL after the grace period. Safe to call again.
 */
void monitor_end_tree(struct monitor *monitor);
/* Sends SIGKILL to the tree now, and sets the deadline for the next time. */
void monitor_kill_tree(struct monitor *monitor);

/* What follows from who is still there. Called after every event: the last child can end between
 * two signals that are read together, and no further SIGCHLD would come. */
void monitor_settle(struct monitor *monitor);

/* Passes on a signal that the client asked for; 'context' is the monitor. */
void monitor_on_signal_request(void *context, int number);

#endif
