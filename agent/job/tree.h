/* SPDX-License-Identifier: MIT */
/*
 * tree.h - every process that descends from one, found through /proc.
 *
 * A subreaper's descendants stay its descendants whatever they do (setsid, double fork), so this
 * reaches all of a job's processes when called for its monitor. Without /proc nothing is found and
 * the caller is left with the job's process group.
 */
#ifndef BERTH_AGENT_JOB_TREE_H
#define BERTH_AGENT_JOB_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Parent and session out of the text of /proc/PID/stat. False for a zombie, and for a text that is
 * no such file; the outputs are then untouched. */
bool tree_read_stat(const char *stat, pid_t *out_parent, pid_t *out_session);

/* Sends a signal to all descendants of 'ancestor', not to itself nor to 'spared' and its
 * descendants (0: none). Returns how many processes it was sent to. */
int tree_signal(pid_t ancestor, pid_t spared, int signal_number);

/* For init, whose orphans the processes of a killed monitor have become: sends SIGKILL to each
 * child of 'ancestor' in the session that 'leader' leads or led, and to all descendants of those,
 * until none is left or they fork faster than they can be killed. */
void tree_kill_orphans(pid_t ancestor, pid_t leader);

#endif
