/* SPDX-License-Identifier: MIT */
/*
 * job_pids.h - each job's PID and whether it has exited, in memory shared by init and the monitors.
 *
 * When a monitor is killed, init needs the PID to kill the job; and init's idle timer starts when a
 * job exits, though leftover processes may keep its monitor running. The rows are those of init's
 * table of jobs, but separate from it: init trusts nothing else that a job's process could write.
 *
 * init maps the page before its first fork. Sessions unmap it. Nothing here blocks or allocates.
 * Without the page (out of memory at startup) every job counts as running, with an unknown PID.
 */
#ifndef BERTH_AGENT_IPC_JOB_PIDS_H
#define BERTH_AGENT_IPC_JOB_PIDS_H

#include <stdbool.h>
#include <sys/types.h>

/* In init, before it forks. */
void job_pids_open(void);
/* In a session process, before it reads from the network. */
void job_pids_close(void);

/* In a monitor, before it forks its job: which row is its own. */
void job_pids_monitor(int row);
/* In the job, before setsid() moves it out of the monitor's session: init, which searches that
 * session first, finds the job in one place or the other whenever the monitor is killed. */
void job_pids_job(void);
/* In a monitor, once its job has exited. */
void job_pids_set_ended(void);

/* In init. */
bool job_pids_has_ended(int row);
/* In init, for every monitor that exited: clears its row. Returns the job; 0: it had none. */
pid_t job_pids_take(int row);

#endif
