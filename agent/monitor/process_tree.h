/* SPDX-License-Identifier: MIT */
/*
 * process_tree.h - all descendants of a process, from /proc.
 *
 * The descendants of a subreaper stay its descendants even after setsid() and a double fork, so
 * those of a monitor are all processes of its job. Without /proc nothing is found.
 */
#ifndef BERTH_AGENT_MONITOR_PROCESS_TREE_H
#define BERTH_AGENT_MONITOR_PROCESS_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Reads parent and session from the text of /proc/PID/stat. False for a zombie and for any other
 * text. Exported for fuzzing. */
bool tree_read_stat(const char *stat, pid_t *out_parent, pid_t *out_session);

/* Sends a signal to all descendants of 'ancestor'. Returns the number of processes. */
int tree_signal(pid_t ancestor, int signal_number);

/* For the job of a killed monitor, whose processes became children of init: sends SIGKILL to the
 * children of 'ancestor' in the session of 'leader', and to their descendants, until none is left
 * or they fork faster than they can be killed. */
void tree_kill_orphans(pid_t ancestor, pid_t leader);

#endif
