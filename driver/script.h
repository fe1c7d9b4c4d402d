/* SPDX-License-Identifier: MIT */
/*
 * script.h - how a script reaches a shell in the task without being seen or half executed.
 *
 * The exec request carries only a short bootstrap, the same for every script but for a random
 * marker. The script itself comes over standard input between two such markers. The bootstrap
 * reads all of it into a variable first, then points standard input at /dev/null and evaluates
 * the text: so 'ps' and /proc show no line of it, a command that reads standard input cannot
 * swallow the rest, and a script that a broken link cut short is refused (exit status 125)
 * instead of started. bash runs it where there is one, otherwise the user's own POSIX shell.
 *
 * The caller owns the struct: script_frame(), then script_done(), which wipes the text.
 */
#ifndef BERTH_DRIVER_SCRIPT_H
#define BERTH_DRIVER_SCRIPT_H

#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"

/* Scripts carry the file variables of a job; the shell holds three copies for a moment. */
#define SCRIPT_CEILING_BYTES  (64UL << 20)
#define SCRIPT_CUT_OFF_STATUS 125

#define SCRIPT_MARKER_BYTES 40 /* "berth-" and 32 hexadecimal digits, with the NUL */

struct script {
    char marker[SCRIPT_MARKER_BYTES]; /* stands in the arguments of the shell that runs it */
    struct buffer command;            /* for the exec request */
    struct buffer input;              /* for the channel, followed by EOF */
};

int script_frame(const char *text, size_t length, struct script *script, struct error *err)
    __attribute__((warn_unused_result));
/* The same for a file; a missing one is an error of kind ERROR_SYSTEM. */
int script_frame_file(const char *path, struct script *script, struct error *err)
    __attribute__((warn_unused_result));
void script_done(struct script *script);

#endif
