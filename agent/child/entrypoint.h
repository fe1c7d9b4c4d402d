/* SPDX-License-Identifier: MIT */
/*
 * entrypoint.h - starts the shell of a job's script through --entrypoint.
 *
 * ENTRYPOINT SHELL -c TEXT, as Docker appends a command to an entrypoint. GitLab's docker executor
 * passes scripts on standard input, so entrypoints that drop these arguments and start a shell work
 * there, above all ["/bin/sh", "-c"], which runs SHELL without arguments. So that they work here,
 * standard input holds a command that starts the same shell. The script's own input is /dev/null.
 * Runs in the job's process between fork and exec.
 */
#ifndef BERTH_AGENT_CHILD_ENTRYPOINT_H
#define BERTH_AGENT_CHILD_ENTRYPOINT_H

#include <stdbool.h>

#include "agent/options.h"

/* What this adds to the text, which must stay below LIMIT_ARGUMENT_BYTES. */
#define ENTRYPOINT_TEXT_BYTES 32

/* Executes the entrypoint of the options. Returns only on failure, with errno; 'out_has_shell' is
 * then false if the image has no shell. */
void entrypoint_exec(const struct agent_options *options, const char *text, bool *out_has_shell);

#endif
