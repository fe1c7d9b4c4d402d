/* SPDX-License-Identifier: MIT */
/*
 * listen.h - the listening sockets, and the addresses in words.
 *
 * "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT" or "PORT"; numeric addresses only, since init does no
 * look-ups. Without an address it listens on IPv6 and IPv4 both (one socket; IPv4 alone where the
 * machine has no IPv6). The caller owns the descriptor.
 */
#ifndef BERTH_AGENT_INIT_LISTEN_H
#define BERTH_AGENT_INIT_LISTEN_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/error.h"

#define LISTEN_NAME_BYTES 128

/* Returns a listening, non-blocking, close-on-exec socket in 'out_fd' and its port. */
int listen_open(const char *where, int *out_fd, int *out_port, struct error *err)
    __attribute__((warn_unused_result));

/* A non-blocking connection under way to what listens there; without an address on loopback. */
int listen_connect(const char *where, int *out_fd, struct error *err)
    __attribute__((warn_unused_result));

/* "ADDRESS" of a socket address, without the port; IPv4 mapped into IPv6 is shown as IPv4. */
void listen_address(const struct sockaddr_storage *address, char out[LISTEN_NAME_BYTES]);
int listen_port(const struct sockaddr_storage *address);

#endif
