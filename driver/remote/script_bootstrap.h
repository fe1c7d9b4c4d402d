/* SPDX-License-Identifier: MIT */
/*
 * script_bootstrap.h - sends a script to a shell in the task, hidden from 'ps' and never half
 * executed.
 *
 * The command holds only a short bootstrap, the same for every script but for random markers. The
 * script itself comes on descriptor 3 between two markers. The bootstrap prints a sign
 * (begin_sign.h), reads the script into a variable, prints another sign and evaluates it. So 'ps'
 * and /proc do not show the script, a command that reads standard input, which is /dev/null, cannot
 * swallow the rest, and a script that did not arrive completely is not started (exit status 125).
 * Standard error goes where standard output does, in one pipe: this alone keeps the lines of a log
 * in order.
 *
 * The caller owns the struct: script_bootstrap_read(), then script_bootstrap_done(), which wipes
 * the script.
 */
#ifndef BERTH_DRIVER_REMOTE_SCRIPT_BOOTSTRAP_H
#define BERTH_DRIVER_REMOTE_SCRIPT_BOOTSTRAP_H

#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/remote/begin_sign.h"

/* A longer script, or one with a NUL byte, is an ERROR_BUILD. Scripts include the file variables of
 * a job; the shell holds three copies for a moment. */
#define SCRIPT_BOOTSTRAP_CEILING_BYTES  (64UL << 20)
#define SCRIPT_BOOTSTRAP_CUT_OFF_STATUS 125

#define SCRIPT_BOOTSTRAP_MARKER_BYTES 40 /* "berth-" and 32 hexadecimal digits, with the NUL */

struct script_bootstrap {
    char marker[SCRIPT_BOOTSTRAP_MARKER_BYTES]; /* is in the arguments of the shell that runs it */
    struct begin_sign sign;
    struct buffer words;   /* RUN's payload (jobwire.h): the bootstrap, its input on descriptor 3 */
    struct buffer command; /* the same for a login shell, with its input as standard input */
    struct buffer input;   /* for the channel, followed by EOF */
};

/* Reads the script from a file; a missing one is an ERROR_SYSTEM. */
int script_bootstrap_read(const char *path, struct script_bootstrap *script, struct error *err)
    __attribute__((warn_unused_result));
void script_bootstrap_done(struct script_bootstrap *script);

#endif
