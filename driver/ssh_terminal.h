/* SPDX-License-Identifier: MIT */
/*
 * ssh_terminal.h - a command that a person started: in a terminal it gets one too.
 *
 * That is when standard input, output and error are all terminals; otherwise bytes pass as they
 * are, and what goes to standard error stays apart. Whatever happens in between, the terminal is
 * put back before anything is said about it.
 */
#ifndef BERTH_DRIVER_SSH_TERMINAL_H
#define BERTH_DRIVER_SSH_TERMINAL_H

#include "driver/ssh.h"

/* ssh_link_run(), whose results these are. */
int ssh_run_in_terminal(struct ssh_link *link, struct ssh_request *request,
                        struct ssh_outcome *out_outcome, struct error *err)
    __attribute__((warn_unused_result));

#endif
