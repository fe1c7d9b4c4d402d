/* SPDX-License-Identifier: MIT */
/*
 * await.h - 'berth-agent await': waits until a service accepts connections.
 */
#ifndef BERTH_AGENT_COMMANDS_AWAIT_H
#define BERTH_AGENT_COMMANDS_AWAIT_H

#include <stdint.h>

#include "common/error.h"

/* 'ports' are "HOST:PORT" texts, at most LIMIT_AWAITED. Connects to all of them until one accepts,
 * for at most 'timeout_ms'. A name is looked up in /etc/hosts each time, since it may come later.
 * Fails with ERROR_USAGE for a text that is not valid, ERROR_SYSTEM at the deadline. */
int await_ports(char *const ports[], int count, int64_t timeout_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
