/* SPDX-License-Identifier: MIT */
/*
 * monitor.h - the parent and subreaper of one job, which reports its exit status.
 *
 * init forks one monitor per job. As a subreaper it stays the ancestor of every process of the job,
 * even of detached ones. It starts the job, passes the pipes to the session, forwards signals,
 * reports the wait status, and stops the whole process tree on request or when the connection of a
 * plain job closes:
 *
 *   RUNNING --exit--> REPORTED --no descendants left, output closed--> monitor exits
 *      |                  |  leftovers keep running; their output is discarded
 *      |                  |
 *      | a signal,        | SIGTERM from init, or
 *      | then exit        | a signal before the output has ended
 *      v                  v
 *   ENDING: SIGTERM to the tree, grace period, SIGKILL, until no descendant is left; then REPORTED
 *
 * It runs as the agent's user, reads nothing from the network and has no key.
 */
#ifndef BERTH_AGENT_MONITOR_MONITOR_H
#define BERTH_AGENT_MONITOR_MONITOR_H

#include "agent/options.h"

struct monitor_setup {
    int request_fd;     /* taken */
    int session_socket; /* taken */
    int input_fd;       /* taken; a resumable job's standard input; -1: a plain job */
    int control_fd;     /* taken; for a resumable job's new sessions; -1: a plain job */
    int row;            /* in init's table of jobs (job_pids.h) */
    const struct agent_options *options;
};

/* Runs in the process that init forked. Returns its exit status. */
int monitor_run(const struct monitor_setup *setup);

#endif
