/* SPDX-License-Identifier: MIT */
/*
 * register.h - which job each monitor stands over, in memory that init and the monitors share.
 *
 * A monitor that is killed leaves its job to init, which then must know what to end. The page is
 * mapped once in init before the first fork; a monitor takes a row, its job writes itself into it,
 * init takes rows away. Sessions inherit the mapping but are not to be believed about it: they
 * unmap it. Nothing here blocks or allocates. Without the page (no memory at the start) nothing is
 * known of any job.
 */
#ifndef BERTH_AGENT_JOB_REGISTER_H
#define BERTH_AGENT_JOB_REGISTER_H

#include <sys/types.h>

/* In init, before it forks anything. */
void register_open(void);
/* In a session process, before it reads from the network. */
void register_close(void);

/* In a monitor, before it forks its job. */
void register_monitor(void);
/* In the job, before setsid() makes it leave the monitor's session: so init, which looks in that
 * session first, finds it here or there at any moment that the monitor can be killed. */
void register_job(void);

/* In init, for every monitor that ended: frees its row. Returns the job, 0 when it had none. */
pid_t register_take(pid_t monitor);

#endif
