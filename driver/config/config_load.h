/* SPDX-License-Identifier: MIT */
/*
 * config_load.h - fills the driver's settings: built-in defaults, then the TOML file, then job
 * variables, then command line options; each overrides the one before.
 *
 * The file is a superset of the Fargate driver's fargate.toml. Keys are matched ignoring case. An
 * unknown key is not an error: 'unknown' has file:line and the closest known key. A wrong type or
 * value is an error of kind ERROR_USAGE that names file:line, key and what is accepted.
 */
#ifndef BERTH_DRIVER_CONFIG_CONFIG_LOAD_H
#define BERTH_DRIVER_CONFIG_CONFIG_LOAD_H

#include "common/options.h"
#include "driver/config/config.h"

/* From the command line; NULL: not given. Points into argv. */
struct config_options {
    const char *path;
    bool is_exec;           /* the command is 'exec' */
    bool only_a_named_file; /* do not read CONFIG_DEFAULT_PATH */
    const char *log_level, *log_format, *log_file;
    bool debug;
    const char *task_definition, *platform_version, *backend;
    const char *image, *workdir, *user; /* of the backend 'docker' */
    struct option_list volumes, environment;
    bool no_mount; /* 'exec': do not mount the current directory */
};

/* 'config' is usable for logging and config_done() even after a failure. Warnings about the file
 * are in 'unknown' and 'notes', for config_log_warnings() once logging is open, or for 'doctor'. */
int config_load(struct config *config, const struct config_options *options, struct error *err)
    __attribute__((warn_unused_result));

#endif
