/* SPDX-License-Identifier: MIT */
/*
 * home.h - a home directory for a job whose own cannot be written: --home-fallback.
 *
 * Images made for root are run as other users, users have no entry in /etc/passwd, and root file
 * systems are read-only; git, npm and others then fail to write below HOME. Runs in the job's
 * process between fork and exec.
 */
#ifndef BERTH_AGENT_CHILD_HOME_H
#define BERTH_AGENT_CHILD_HOME_H

/* Makes the directory of --home-fallback, writable by every user, unless it exists. Call it before
 * the process becomes the job's user. A failure shows in home_settle(). */
void home_make_parent(const char *fallback);

/* If this process's user cannot write to HOME, sets HOME to a directory of this user below
 * 'fallback', with mode 0700, and makes it first if need be. Returns -1 with errno, and leaves HOME
 * as it is, if it cannot be made or belongs to another user (EPERM). */
int home_settle(const char *fallback);

#endif
