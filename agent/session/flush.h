/* SPDX-License-Identifier: MIT */
/*
 * flush.h - several writes to a channel, one system call.
 *
 * ssh_channel_write() sends at its end whatever libssh has queued, so that writes which belong
 * together would each be sent, and wake the client, for themselves. Between flush_hold() and
 * flush_release() that is left out. The linker sends libssh's call here (--wrap); for a session
 * process, which has one connection.
 */
#ifndef BERTH_AGENT_FLUSH_H
#define BERTH_AGENT_FLUSH_H

#include <libssh/libssh.h>

void flush_hold(void);

/* Sends what has been queued since, as far as the socket takes it. */
void flush_release(ssh_session ssh);

#endif
