/* SPDX-License-Identifier: MIT */
/*
 * owner.h - whose tasks are ours: a short hash of this machine and its metadata directory.
 *
 * Tasks carry it, so that 'ps' and 'gc' of one runner leave those of another alone that shares a
 * cluster or an engine with it: only the metadata directory tells which jobs still live. Nothing
 * can fail; a machine without /etc/machine-id has its host name.
 */
#ifndef BERTH_DRIVER_OWNER_H
#define BERTH_DRIVER_OWNER_H

#include "driver/config.h"

#define OWNER_BYTES 13 /* 12 hexadecimal digits and the NUL */

void owner_of(const struct config *config, char out[OWNER_BYTES]);

#endif
