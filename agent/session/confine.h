/* SPDX-License-Identifier: MIT */
/*
 * confine.h - drops the privileges of a session process.
 *
 * Called once in the session process, before it reads from the network. Afterwards the process has
 * no capability and cannot gain privileges, dumps no core, cannot be traced, has ceilings on memory
 * and descriptors, and can only make the system calls listed in confine.c: it cannot open files by
 * name, start or signal processes, or create sockets other than a pair. Any other call kills it
 * with SIGSYS, which init logs. The function checks the result, so success means that it took
 * effect.
 *
 * A build with AddressSanitizer has no filter and no ceiling on memory: the sanitizer maps
 * terabytes, opens files and writes reports.
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

/* Fails with ERROR_SYSTEM; the process must then exit. */
int confine_process(struct error *err) __attribute__((warn_unused_result));

#endif
