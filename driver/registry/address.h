/* SPDX-License-Identifier: MIT */
/*
 * address.h - which network addresses a registry may lead this host to. Pure.
 *
 * A registry names further hosts: the realm of its tokens, redirects to its storage, and its own
 * name server. None of them may be this host or a metadata service: loopback, link-local
 * (169.254.169.254, fe80::), unspecified, multicast, fd00:ec2::/32 of EC2, and IPv6 addresses that
 * embed one of these (IPv4-mapped, NAT64, 6to4). Private networks are allowed: registries are
 * there.
 */
#ifndef BERTH_DRIVER_REGISTRY_ADDRESS_H
#define BERTH_DRIVER_REGISTRY_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

bool address_is_allowed(const struct sockaddr *address);

/* The same for a host of a URL: false for the text of an address that is not allowed, with or
 * without brackets, and for "localhost"; true for other names, which must be resolved. */
bool address_host_is_allowed(const char *host);

#endif
