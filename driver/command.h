/* SPDX-License-Identifier: MIT */
/*
 * command.h - the commands of berth-driver, one file each: stage_NAME.c, command_exec.c.
 *
 * A command gets the same context, does its work, and returns what came of it; it neither prints
 * its error nor exits. A failure is -1 with 'err'; success fills 'out_result'.
 */
#ifndef BERTH_DRIVER_COMMAND_H
#define BERTH_DRIVER_COMMAND_H

#include "driver/config.h"
#include "driver/result.h"
#include "driver/runner.h"
#include "driver/signals.h"

struct command_context {
    const struct config *config;
    const struct runner *runner;
    struct signals *signals;
    bool stop; /* --stop */
    int argc;  /* the words after the command and its options */
    char *const *argv;
};

typedef int command_run(struct command_context *context, struct result *out_result,
                        struct error *err);

command_run stage_config, stage_prepare, stage_run, stage_cleanup, command_exec, command_ps,
    command_gc;

#endif
