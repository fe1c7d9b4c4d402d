/* SPDX-License-Identifier: MIT */
/*
 * runner_id.h - identifies this runner's tasks: a short hash of the machine and its metadata
 * directory.
 *
 * Tasks carry it, so that 'ps' and 'gc' of one runner ignore the tasks of another one in the same
 * cluster or engine: only the metadata directory shows which jobs are still running. Nothing can
 * fail; without /etc/machine-id the host name is used alone.
 */
#ifndef BERTH_DRIVER_RECORD_RUNNER_ID_H
#define BERTH_DRIVER_RECORD_RUNNER_ID_H

#include "driver/config/config.h"

#define RUNNER_ID_BYTES 13 /* 12 hexadecimal digits and the NUL */

void runner_id_get(const struct config *config, char out[RUNNER_ID_BYTES]);

#endif
