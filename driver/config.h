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
#define CONFIG_CANCEL_GRACE_MS        10000           /* the default, and the agent's own */
#define CONFIG_REATTACH_TIMEOUT_MS    (5 * 60 * 1000) /* the default; the agent waits for 10 min */
#define CONFIG_LIST_CEILING           64              /* entries of PassEnvironment */
#define CONFIG_SUBNET_CEILING         16 /* what ECS takes in one awsvpc configuration */
#define CONFIG_SECURITY_GROUP_CEILING 5

struct config_list {
    char *entries[CONFIG_LIST_CEILING];
    size_t count;
    bool named; /* the file has the key: an empty list is another matter than none */
};

enum config_tristate { CONFIG_UNSET, CONFIG_NO, CONFIG_YES };

/* What a task may be given; 0 and NULL: what the task definition says. */
struct config_size {
    int64_t cpu_units, memory_mib, storage_gib;
};

struct config_fargate {
    char *cluster, *region, *task_definition, *platform_version;
    struct config_list subnets, security_groups;
    bool enable_public_ip, propagate_tags, enable_execute_command, managed_tags;
    enum config_tristate use_public_ip;
    char *container_name;
    bool spot, spot_fallback;
    struct config_list capacity_providers; /* "NAME", "NAME:WEIGHT" or "NAME:WEIGHT:BASE" */
    struct config_list tags;               /* "KEY=VALUE" */
    struct config_size size, maximum;      /* maximum of 0: jobs may not choose */
    char *task_role, *execution_role;
    /* Patterns (fnmatch) of what job variables may name. Task definitions and platform versions:
     * none at all means anything, as in the Fargate driver; roles: none means none. */
    struct config_list allowed_task_definitions, allowed_platform_versions;
    struct config_list allowed_task_roles, allowed_execution_roles;
    int64_t launch_timeout_ms; /* from RunTask to login */
    int64_t watch_interval_ms; /* between looks at a task whose script runs */
    int64_t calls_per_second;  /* of all drivers with one metadata directory */
};

/* What an hour costs, in whatever currency. */
struct config_price {
    double vcpu_hour, gib_hour, spot_factor;
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
    char *aws_profile;                   /* NULL: as the SDKs choose one */
    struct config_list aws_session_tags; /* "key=value" each */
    char *metadata_directory;
    struct config_price price;
    char *ssh_username;
    char *ssh_host_key; /* NULL or "accept-new"; "strict" */
    int64_t ssh_port;
    int64_t ssh_connect_timeout_ms; /* from launch to login */
    int64_t ssh_keepalive_ms;
    int64_t ssh_reattach_timeout_ms; /* of one loss of the link while a job runs */
    int64_t cancel_grace_ms;         /* from TERM to KILL */
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

/* Whether one of the patterns matches. */
bool config_list_matches(const struct config_list *list, const char *text);

/* Logs what config_load() found odd, and forgets it. */
void config_log_warnings(void);

#endif
