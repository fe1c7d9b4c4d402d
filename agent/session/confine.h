/* SPDX-License-Identifier: MIT */
/*
 * confine.h - takes from a session process every right that it does not need.
 *
 * Called once in the session process, before it has read a byte from the network. Afterwards the
 * process cannot gain privileges, has no capability, dumps no core, cannot be traced, has ceilings
 * on memory and descriptors, and can make only the system calls of the list in confine.c: no
 * file can be opened by name, no process started, no socket made but a pair, nobody signalled. Any
 * other call kills it with SIGSYS, which init names in the log. What was taken is asked back from
 * the kernel before the function returns, so success means that it holds.
 *
 * A build with AddressSanitizer has no filter and no ceiling on memory: the sanitizer maps
 * terabytes, opens files and writes its reports by calls that a session has no use for.
 */
#ifndef BERTH_AGENT_SESSION_CONFINE_H
#define BERTH_AGENT_SESSION_CONFINE_H

#include <stdbool.h>

#include "common/error.h"

/* Whether this build installs the filter; the unit test sets it. */
#ifndef CONFINE_FILTERS
#ifdef __SANITIZE_ADDRESS__
#define CONFINE_FILTERS false
#else
#define CONFINE_FILTERS true
#endif
#endif

/* Fails with ERROR_SYSTEM; the caller must then end the process. */
int confine_process(struct error *err) __attribute__((warn_unused_result));

#endif
