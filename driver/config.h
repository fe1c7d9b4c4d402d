/* SPDX-License-Identifier: MIT */
/*
 * config.h - the driver's settings: built-in values, then the TOML file, then job variables, then
 * command line options, each over the one before.
 *
 * The file is a superset of the Fargate driver's fargate.toml (docs of that driver name the
 * keys). Keys are matched without regard to case; an unknown key is warned about with file:line and
 * never an error; a key of the wrong type is an error of kind ERROR_USAGE that names file:line,
 * key and what was wanted. The caller owns the struct: config_load() then config_done(), which
 * frees all texts in it. Durations are milliseconds.
 */
#ifndef BERTH_DRIVER_CONFIG_H
#define BERTH_DRIVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/options.h"

#define CONFIG_FILE_CEILING_BYTES     (1UL << 20)
#define CONFIG_LIST_CEILING           64 /* entries of PassEnvironment */
#define CONFIG_SUBNET_CEILING         16 /* what ECS takes in one awsvpc configuration */
#define CONFIG_SECURITY_GROUP_CEILING 5

struct config_list {
    char *entries[CONFIG_LIST_CEILING];
    size_t count;
};

enum config_tristate { CONFIG_UNSET, CONFIG_NO, CONFIG_YES };

struct config_fargate {
    char *cluster, *region, *task_definition, *platform_version;
    struct config_list subnets, security_groups;
    bool enable_public_ip, propagate_tags, enable_execute_command;
    enum config_tristate use_public_ip;
};

/* Of the Docker backend. Sizes are bytes; 0 and NULL: not said. */
struct config_docker {
    char *host, *certificate_directory;
    enum config_tristate tls_verify;
    char *image;
    bool image_is_fixed; /* by the command line: the job's 'image:' does not count */
    struct config_list allowed_images, allowed_services;
    char *pull_policy;
    int64_t pull_timeout_ms, service_timeout_ms;
    int64_t memory_bytes, nano_cpus, pids_limit;
    char *network, *user, *agent, *workdir;
    struct config_list volumes, environment, labels, cap_add, cap_drop;
    bool privileged;
    bool no_mount; /* 'exec' does not mount the current directory */
    enum config_tristate publish;
};

struct config {
    char *path; /* of the file, NULL: none was given */
    enum log_level log_level;
    enum log_format log_format;
    char *log_file; /* NULL: stderr */
    char *backend;  /* NULL: not said */
    struct config_fargate fargate;
    char *metadata_directory;
    char *ssh_username;
    int64_t ssh_port;
    int64_t ssh_connect_timeout_ms; /* from launch to login */
    int64_t ssh_keepalive_ms;
    int64_t cancel_grace_ms; /* from TERM to KILL */
    int64_t cleanup_timeout_ms;
    char *local_directory;
    char *local_agent; /* NULL: the agent inside this program */
    struct config_list local_pass_environment;
    struct config_docker docker;
};

/* What the command line says; NULL: not given. Points into argv. */
struct config_options {
    const char *path;
    const char *log_level, *log_format, *log_file;
    bool debug;
    const char *task_definition, *platform_version, *backend;
    const char *image, *workdir, *user; /* of the Docker backend */
    struct option_list volumes, environment;
    bool no_mount; /* 'exec': the current directory stays outside */
};

/* 'config' is usable for logging and config_done() even after a failure. Warnings about unknown
 * keys are collected and logged by the caller with config_log_warnings(), once logging is open. */
int config_load(struct config *config, const struct config_options *options, struct error *err)
    __attribute__((warn_unused_result));
void config_done(struct config *config);

/* Logs what config_load() found odd, and forgets it. */
void config_log_warnings(void);

#endif
