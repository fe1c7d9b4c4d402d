/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - a pseudo-terminal for a job whose client asked for one (RFC 4254, section 6.2).
 *
 * Opened by the job's monitor, which keeps the master for as long as anything of the job may write
 * to it; the session moves its bytes over a copy of the same descriptor. When the last process
 * closed the other side, reading the master fails with EIO: that is the end of the output. The
 * terminal starts with the kernel's own modes and UTF-8 input, and what the client wants of them.
 */
#ifndef BERTH_AGENT_JOB_TERMINAL_H
#define BERTH_AGENT_JOB_TERMINAL_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/job/terminal_modes.h"

#define TERMINAL_NAME_BYTES 64

struct terminal_size {
    uint16_t columns, rows;
    uint16_t width, height; /* pixels; 0: unknown */
};

/* Opens a pair, gives the other side to 'owner' and names it. The descriptors are close-on-exec
 * and the caller's; the master is non-blocking. Returns -1 with errno. */
int terminal_open(const struct terminal_size *size, const struct terminal_modes *modes, uid_t owner,
                  int *out_master, int *out_slave, char out_name[TERMINAL_NAME_BYTES])
    __attribute__((warn_unused_result));

/* The kernel tells the foreground group (SIGWINCH). */
void terminal_resize(int master, const struct terminal_size *size);

/* In the job's process after setsid(): makes it the controlling terminal. Returns -1 with errno. */
int terminal_control(int slave) __attribute__((warn_unused_result));

#endif
