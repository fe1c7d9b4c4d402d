/* SPDX-License-Identifier: MIT */
/*
 * ssh_private.h - what ssh.c (connection) and ssh_run.c (command) share. For those two only.
 */
#ifndef BERTH_DRIVER_SSH_PRIVATE_H
#define BERTH_DRIVER_SSH_PRIVATE_H

#include "driver/ssh.h"

struct ssh_link {
    ssh_session session;
    char name[128]; /* "HOST port PORT", for messages */
    char learned[SSH_HOST_KEY_BYTES];
};

/* Waits until the session can go on or the deadline passes. Returns -1 with 'err' for the
 * deadline, a request to stop, or a dead link. */
int ssh_link_wait(struct ssh_link *link, struct signals *signals, int64_t deadline_ms,
                  struct error *err) __attribute__((warn_unused_result));

/* Whether the connection is still there. libssh reports a broken one by nothing but this. */
bool ssh_link_healthy(const struct ssh_link *link);

#endif
