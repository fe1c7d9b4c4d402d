/* SPDX-License-Identifier: MIT */
/*
 * subprocess_output.h - reads another program's standard output, which is a secret.
 *
 * For AWS's credential_process and Docker's credential helpers. The program is searched in PATH,
 * runs in its own process group, is killed when we exit, and has no stderr.
 * subprocess_read_output() fills the caller's buffer, which has the ceiling and which the caller
 * wipes. A program that does not exit with status 0 by the absolute deadline (clock.h) is an error,
 * and is killed if it still runs. Errors name argv[0] and never the output.
 */
#ifndef BERTH_DRIVER_BASE_SUBPROCESS_OUTPUT_H
#define BERTH_DRIVER_BASE_SUBPROCESS_OUTPUT_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/base/signals.h"

/* 'input' becomes its standard input; NULL: none. 'signals' may be NULL. */
int subprocess_read_output(char *const argv[], const char *input, struct signals *signals,
                           int64_t deadline_ms, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

#endif
