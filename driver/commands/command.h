/* SPDX-License-Identifier: MIT */
/*
 * command.h - the commands of berth-driver, one file each.
 *
 * Every command gets the same context. It neither prints its error nor exits: a failure is -1 with
 * 'err'; success fills 'out_result'.
 */
#ifndef BERTH_DRIVER_COMMANDS_COMMAND_H
#define BERTH_DRIVER_COMMANDS_COMMAND_H

#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/history/entry.h"
#include "driver/runner/result.h"
#include "driver/runner/runner.h"

#define COMMAND_TASK_BYTES 256

/* From the command line, beside config_options. NULL, false, 0: not given. */
struct command_options {
    const char *container;
    bool stop, task_definitions;
    bool policy, force;
    bool failed, json, watch, quiet;
    int64_t since_ms; /* before now */
    const char *project, *output;
    bool drain, if_due;
    bool helper;
    const char *runner_version;
};

struct command_context {
    const struct config *config;
    struct runner *runner;
    struct signals *signals;
    const struct command_options *options;
    char task[COMMAND_TASK_BYTES];  /* filled by the stage: task_identity(), for the log file */
    struct history_figures figures; /* filled by the stage: job_history.h */
    int argc;                       /* the words after the command and its options */
    char *const *argv;
};

typedef int command_run(struct command_context *context, struct result *out_result,
                        struct error *err);

command_run stage_config, stage_prepare, stage_run, stage_cleanup, command_exec, command_ps,
    command_gc, command_ssh, command_doctor, command_init, command_push_agent, command_history,
    command_report, command_metrics, command_logs, command_warm;

/* The report of 'doctor' without a usable configuration: one failure. Always 0. */
int doctor_report_unusable(const struct command_context *context, const struct error *reason,
                           struct result *out_result);

#endif
