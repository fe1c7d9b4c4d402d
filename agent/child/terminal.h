/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - a pseudo-terminal for a job whose client requested one (RFC 4254, section 6.2).
 *
 * The job's monitor opens it and keeps the master while a process of the job may write to it; the
 * session reads and writes a copy of that descriptor. When the last process has closed the slave,
 * reading the master fails with EIO, which is the end of the output. The terminal has the kernel's
 * default modes, UTF-8 input, and the client's changes.
 */
#ifndef BERTH_AGENT_CHILD_TERMINAL_H
#define BERTH_AGENT_CHILD_TERMINAL_H

#include <sys/types.h>

#include "agent/ipc/terminal_modes.h"

#define TERMINAL_NAME_BYTES 64

/* Opens master and slave, and makes 'owner' the owner of the slave. The caller gets the slave's
 * name and owns the descriptors, which are close-on-exec; the master is non-blocking. Returns -1
 * with errno. */
int terminal_open(const struct terminal_size *size, const struct terminal_modes *modes, uid_t owner,
                  int *out_master, int *out_slave, char out_name[TERMINAL_NAME_BYTES])
    __attribute__((warn_unused_result));

/* The kernel sends SIGWINCH to the foreground process group. */
void terminal_resize(int master, const struct terminal_size *size);

/* In the job's process after setsid(): makes it the controlling terminal. Returns -1 with errno. */
int terminal_control(int slave) __attribute__((warn_unused_result));

#endif
