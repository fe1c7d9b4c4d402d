/* SPDX-License-Identifier: MIT */
/*
 * own.h - 'berth-agent own': gives the files of a build to the job's user.
 *
 * As chown -RP, with these differences: it stays on the file system of the directory, needs a fixed
 * number of descriptors for a tree of any depth, and never leaves the tree, even if a process moves
 * directories or replaces them with links meanwhile. Files that vanish are no failure. Runs as root
 * in the helper container.
 */
#ifndef BERTH_AGENT_COMMANDS_OWN_H
#define BERTH_AGENT_COMMANDS_OWN_H

#include "common/error.h"

/* 'owner' is "UID:GID", decimal. Prints the first failures to stderr. If some remain after a second
 * pass, fails with their number. */
int own(const char *owner, const char *directory, struct error *err)
    __attribute__((warn_unused_result));

#endif
