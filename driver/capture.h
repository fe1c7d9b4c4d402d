/* SPDX-License-Identifier: MIT */
/*
 * capture.h - another program's standard output, when that is a secret.
 *
 * For AWS's credential_process and Docker's credential helpers. The program is looked for in PATH,
 * is a process group of its own that ends with us, and says nothing on our stderr. capture_run()
 * fills the caller's buffer, which has the ceiling and which the caller wipes; a program that does
 * not end with status 0 by the absolute deadline (clock.h) is an error, one that has to be killed
 * is killed. Errors name argv[0] and nothing that was printed.
 */
#ifndef BERTH_DRIVER_CAPTURE_H
#define BERTH_DRIVER_CAPTURE_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/signals.h"

/* 'input' becomes its standard input; NULL: none. 'signals' may be NULL. */
int capture_run(char *const argv[], const char *input, struct signals *signals, int64_t deadline_ms,
                struct buffer *out, struct error *err) __attribute__((warn_unused_result));

#endif
