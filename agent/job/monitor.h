/* SPDX-License-Identifier: MIT */
/*
 * monitor.h - the process that stands over one job: its parent, its subreaper, its witness.
 *
 * init forks one per job, so that whatever the job starts, however it detaches itself, stays a
 * descendant of a process that knows which job it belongs to. The monitor starts the job, hands
 * the pipe ends to the session, passes signals on, reports the wait status, and ends the job's
 * whole process tree when it is told to or when nobody is left to hear the result:
 *
 *   RUNNING --exit--> REPORTED --no descendants left, output closed--> gone
 *      | signalled, then exit              | (leftovers run on; their output is discarded)
 *      v                                   v SIGTERM from init; a signal while output comes
 *   ENDING: SIGTERM to the tree, grace, SIGKILL, until no descendant is left, then the report
 *
 * It has the agent's rights, reads nothing from the network and holds no key.
 */
#ifndef BERTH_AGENT_JOB_MONITOR_H
#define BERTH_AGENT_JOB_MONITOR_H

#include <stdatomic.h>

#include "agent/options.h"

struct monitor_setup {
    int request_fd;     /* taken */
    int session_socket; /* taken */
    int input_fd;       /* taken; the job's standard input, for a durable job; -1: none */
    int control_fd;     /* taken; brings a durable job's new sessions; -1: no durable job */
    const struct agent_options *options;
    atomic_bool *over; /* shared with init, set when the job has ended; may be NULL */
};

/* Runs in the process that init forked. Returns its exit status. */
int monitor_run(const struct monitor_setup *setup);

#endif
