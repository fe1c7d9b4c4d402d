/* SPDX-License-Identifier: MIT */
/*
 * place.h - 'berth-agent place': copies the agent to where other containers start it.
 *
 * Runs as root in a container whose image may hold this program alone, before the job's containers
 * start. Every file is complete when it gets its name, and every user may read and execute it,
 * whatever the umask; so it may run twice, also at the same time.
 */
#ifndef BERTH_AGENT_COMMANDS_PLACE_H
#define BERTH_AGENT_COMMANDS_PLACE_H

#include "common/error.h"

/* 'program' is argv[0], for a container without /proc. 'builds' may be NULL. */
int place(const char *program, const char *directory, const char *builds, struct error *err)
    __attribute__((warn_unused_result));

#endif
