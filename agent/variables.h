/* SPDX-License-Identifier: MIT */
/*
 * variables.h - the file with a service's variables: 'berth-agent service --variables FILE'.
 *
 * The job's helper writes it into a volume that only this service reads: "NAME=VALUE" entries, each
 * ended by a NUL, the last one optionally. It is complete as soon as its name exists, since it is
 * renamed into place. It must be a regular file of this process's user or of root that others
 * cannot write, of at most LIMIT_VARIABLES_BYTES and LIMIT_VARIABLES entries. A name is at most
 * LIMIT_VARIABLE_NAME bytes, without '=' and control characters. Values are never part of an error
 * and are wiped from the buffer; the environment keeps them. Runs in init during startup.
 */
#ifndef BERTH_AGENT_VARIABLES_H
#define BERTH_AGENT_VARIABLES_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Whether the text is valid. Fails with ERROR_PEER, which names the entry by its number. Exported
 * for fuzzing. */
int variables_check(const char *text, size_t length, const char *path, struct error *err)
    __attribute__((warn_unused_result));

/* Waits for the file until the absolute deadline, then adds its variables to this process's
 * environment; the last of two with one name counts. 'signals' is a signalfd, or -1: SIGTERM,
 * SIGINT, SIGQUIT or SIGHUP end the wait. Then 'out_signal' is its number and the result 0;
 * otherwise 'out_signal' is 0. */
int variables_await(const char *path, int64_t deadline_ms, int signals, int *out_signal,
                    struct error *err) __attribute__((warn_unused_result));

#endif
