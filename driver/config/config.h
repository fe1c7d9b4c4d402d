/* SPDX-License-Identifier: MIT */
/*
 * config.h - the driver's settings. config_load.h fills them; schema.h lists the keys.
 *
 * The caller owns the struct: config_load(), then config_done(), which frees all texts in it.
 * Durations are milliseconds, sizes bytes.
 */
#ifndef BERTH_DRIVER_CONFIG_CONFIG_H
#define BERTH_DRIVER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/log.h"
#include "driver/schedule/schedule.h"

/* Read if neither --config nor BERTH_CONFIG names a file and this one is readable. */
#define CONFIG_DEFAULT_PATH "/etc/gitlab-runner/fargate.toml"

#define CONFIG_FILE_CEILING_BYTES     (1UL << 20)
#define CONFIG_CANCEL_GRACE_MS        10000           /* the default, as the agent's own */
#define CONFIG_REATTACH_TIMEOUT_MS    (5 * 60 * 1000) /* the default; the agent waits for 10 min */
#define CONFIG_LIST_CEILING           64              /* entries of a list */
#define CONFIG_SUBNET_CEILING         16              /* the maximum in one awsvpcConfiguration */
#define CONFIG_SECURITY_GROUP_CEILING 5
#define CONFIG_PULL_POLICY_CEILING    3
#define CONFIG_KEY_CEILING            160
#define CONFIG_PLACE_BYTES            ERROR_MESSAGE_BYTES
#define CONFIG_WARM_CEILING           64   /* tables [[Warm]] */
#define CONFIG_WARM_TASKS_CEILING     1000 /* of all of them */

struct config_list {
    char *entries[CONFIG_LIST_CEILING];
    size_t count;
    size_t from_options; /* how many of the last entries are from the command line */
    bool named;          /* the file has the key: an empty list differs from no list */
};

enum config_tristate { CONFIG_UNSET, CONFIG_NO, CONFIG_YES };

/* Size of a task; 0: the task definition's. */
struct config_size {
    int64_t cpu_units, memory_mib, storage_gib;
};

struct config_fargate {
    bool named; /* the file has a table [Fargate], complete or not: the backend is ecs */
    char *cluster, *region, *task_definition, *platform_version;
    struct config_list subnets, security_groups;
    bool enable_public_ip, propagate_tags, enable_execute_command, managed_tags;
    enum config_tristate use_public_ip;
    char *container_name;
    bool spot, spot_fallback;
    char *launch_type;                     /* NULL: not set */
    struct config_list capacity_providers; /* "NAME", "NAME:WEIGHT" or "NAME:WEIGHT:BASE" */
    struct config_list tags;               /* "KEY=VALUE" */
    struct config_size size, maximum;      /* maximum 0: jobs may not request it */
    char *task_role, *execution_role;
    /* Patterns (pattern.h) of what job variables may name. Without the key, any task definition and
     * platform version is allowed, as with the Fargate driver, but no role. */
    struct config_list allowed_task_definitions, allowed_platform_versions;
    struct config_list allowed_task_roles, allowed_execution_roles;
    struct config_list registry_secrets; /* "HOST=ARN" each */
    bool registry_secrets_shared;
    struct config_list image_rewrite; /* "FROM=TO" each */
    int64_t launch_timeout_ms;        /* from RunTask to login */
    int64_t service_timeout_ms;       /* for all services of a job to become ready */
    int64_t watch_interval_ms;        /* of DescribeTasks while a script runs */
    int64_t calls_per_second;         /* of all drivers that share a metadata directory */
    /* The next ones are for jobs whose task definition Berth generates: those with an image of
     * their own. */
    char *image;                       /* of jobs without 'image:'; NULL: none */
    struct config_list allowed_images; /* named: jobs may have one */
    struct config_list allowed_services;
    int64_t job_port, helper_port; /* of the two agents */
    char *log_group;               /* without a base; NULL: no logs */
    int64_t definition_age_ms;     /* after which gc removes them */
    bool service_secrets_in_overrides;
    struct config_list privileged_images, privileged_services; /* patterns */
};

/* Price per hour, in any currency. */
struct config_price {
    double vcpu_hour, gib_hour, spot_factor;
    char *currency;
};

/* The history of jobs, and what 'metrics' prints of it. */
struct config_history {
    bool enabled;
    char *directory; /* NULL: beside the metadata */
    int64_t max_size_bytes, max_age_ms;
    bool projects; /* [Metrics] Projects */
};

/* The settings of the backend 'docker'. Sizes are bytes; 0 and NULL: not set. */
struct config_docker {
    char *host, *certificate_directory;
    enum config_tristate tls_verify;
    char *image;
    bool image_is_fixed; /* by --image: the job's 'image:' is ignored */
    struct config_list allowed_images, allowed_services;
    struct config_list pull_policies; /* in the order of attempts */
    int64_t pull_timeout_ms, service_timeout_ms;
    int64_t memory_bytes, nano_cpus, pids_limit;
    char *network, *user, *agent, *workdir;
    struct config_list volumes, environment, labels, cap_add, cap_drop;
    bool privileged;
    bool no_mount; /* 'exec' does not mount the current directory */
    enum config_tristate publish;
};

/* The container with git and gitlab-runner-helper that a job of 'custom' gets beside its own. */
struct config_helper {
    char *use;   /* "auto", "always" or "never" */
    char *image; /* NULL: GitLab's of the runner's version */
    char *agent_image;
    char *busybox;
    struct config_list insecure_registries; /* "HOST" or "HOST:PORT" each */
};

struct config_services {
    bool builds; /* services see the builds directory */
};

/* One table [[Warm]]: tasks that are launched ahead of their jobs. NULL and 0: not set. */
struct config_warm {
    unsigned line; /* of its header */
    char *image, *task_definition;
    char *platform, *task_role, *execution_role;
    struct config_size size;
    int64_t tasks; /* outside of its schedule */
    int64_t idle_time_ms, max_age_ms;
    struct schedule schedule; /* its zones are not loaded */
};

struct config {
    char *path;            /* of the file; NULL: no file was read */
    struct buffer unknown; /* notes about unknown keys and tables: config_each_note() */
    struct buffer notes;   /* notes about known keys that look wrong */
    unsigned lines[CONFIG_KEY_CEILING]; /* of each row of schema.h in the file; 0: not there */
    bool unknown_at_root; /* an unknown key or table is where 'Backend' or '[Fargate]' would be */
    bool is_exec;         /* for 'exec': without a backend it may run on this machine */
    enum log_level log_level;
    enum log_format log_format;
    char *log_file; /* NULL: stderr */
    char *backend;  /* NULL: not set */
    struct config_fargate fargate;
    char *aws_profile;                   /* NULL: chosen as the AWS SDKs do */
    struct config_list aws_session_tags; /* "key=value" each */
    char *metadata_directory;
    struct config_price price;
    struct config_history history;
    char *ssh_username;
    char *ssh_host_key; /* "accept-new" or "strict" */
    int64_t ssh_port;
    int64_t ssh_connect_timeout_ms; /* from launch to login */
    int64_t ssh_keepalive_ms;
    int64_t ssh_reattach_timeout_ms; /* of one lost connection while a job runs */
    int64_t cancel_grace_ms;         /* from TERM to KILL */
    int64_t cleanup_timeout_ms;
    char *local_directory;
    char *local_agent; /* NULL: the agent embedded in this program */
    struct config_list local_pass_environment;
    struct config_docker docker;
    struct config_helper helper;
    struct config_services services;
    struct config_warm *warm; /* an array; NULL: none */
    size_t warm_count;
    const char *image_platform; /* of the image of a warm task, not owned; NULL: the job's */
    int64_t warm_tasks_maximum; /* of all tables together */
};

/* Accepts a struct that is zeroed or half filled. */
void config_done(struct config *config);

/* Replaces a text that the config owns; NULL clears it. */
int config_set_text(char **field, const char *text, struct error *err)
    __attribute__((warn_unused_result));
void config_list_clear(struct config_list *list);

/* Whether one of the patterns (pattern.h) matches. */
bool config_list_matches(const struct config_list *list, const char *text);

/* Logs the warnings of config_load(). */
void config_log_warnings(const struct config *config);

/* Calls 'visit' for each note of 'unknown' or 'notes', with message and hint. */
void config_each_note(const struct buffer *notes,
                      void (*visit)(void *context, const struct error *note), void *context);

/* Appends a line for each value of a section of the file, in the order of schema.h, without the
 * keys of 'except' (NULL at its end). Equal settings give equal texts. */
int config_describe(const struct config *config, const char *section, const char *const except[],
                    struct buffer *out, struct error *err) __attribute__((warn_unused_result));

/* For an error about a value: "FILE:LINE: SECTION.KEY" of the key that filled 'field', a member of
 * 'config'; 'otherwise' if the value is not from the file. */
const char *config_place(const struct config *config, const void *field, const char *otherwise,
                         char out[CONFIG_PLACE_BYTES]);

#endif
