/* SPDX-License-Identifier: MIT */
/*
 * host_name.h - which names the agent adds to /etc/hosts, and so which the driver gives it.
 */
#ifndef BERTH_COMMON_HOST_NAME_H
#define BERTH_COMMON_HOST_NAME_H

#include <stdbool.h>

/* A host name of RFC 1123, at most 253 bytes, also with '_' (GitLab's first name of a service has
 * it); not 'localhost', and not something that programs read as an IPv4 address. */
bool host_name_is_valid(const char *name);

#endif
