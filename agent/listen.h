/* SPDX-License-Identifier: MIT */
/*
 * listen.h - the listening socket, and socket addresses as text.
 *
 * An address is "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT" or "PORT", and numeric: nothing here does
 * look-ups. Without an address one socket listens on IPv6 and IPv4, on a machine without IPv6 on
 * IPv4 alone. The caller owns the descriptor.
 */
#ifndef BERTH_AGENT_LISTEN_H
#define BERTH_AGENT_LISTEN_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/error.h"

#define LISTEN_NAME_BYTES 128

/* Source address of listen_connect() on loopback, so that failed logins of other local processes do
 * not count against the health check. */
#define LISTEN_CHECK_ADDRESS "127.83.83.72"

/* Returns a listening, non-blocking, close-on-exec socket in 'out_fd' and its port. */
int listen_open(const char *where, int *out_fd, int *out_port, struct error *err)
    __attribute__((warn_unused_result));

/* Begins a non-blocking connection to that address; without one, to loopback. On loopback the
 * source address is LISTEN_CHECK_ADDRESS. */
int listen_connect(const char *where, int *out_fd, struct error *err)
    __attribute__((warn_unused_result));

/* The address without its port; IPv4 mapped into IPv6 is written as IPv4. */
void listen_address(const struct sockaddr_storage *address, char out[LISTEN_NAME_BYTES]);
int listen_port(const struct sockaddr_storage *address);

#endif
