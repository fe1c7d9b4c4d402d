/* SPDX-License-Identifier: MIT */
/*
 * ecs.h - the parts of the backend 'ecs' among themselves: one task on ECS, Fargate by default.
 *
 *   backend.c  the table of functions, plan, when a running task is looked at
 *   ecs.c      the session, texts of the state, progress
 *   request.c  the RunTask request, from configuration and job variables
 *   launch.c   RunTask over capacity providers and subnets, until the task has an address
 *   looks.c    DescribeTasks, for all drivers on this machine together
 *   view.c     one task's state
 *   stop.c     StopTask, with and without a known ARN
 *   list.c     all tasks of this runner in the cluster
 *   generated.c     a job with an image of its own: reads, checks and plans what it runs
 *   capacity.c      of which kind the capacity providers are
 *   base.c          reads the task definition that generated ones are based on
 *   definition.c    generates one; registration.c and old_definitions.c keep them in ECS
 *   services.c, service_variables.c, service_logs.c    the job's services
 *   logs.c, log_events.c    logs in CloudWatch Logs
 *   store.c    what the drivers of one host remember about task definitions
 *   advice.c   what ECS's error texts mean and what to do about them
 *   pace.c     spaces out the calls of all drivers on this machine
 *   warm.c     tasks that are launched ahead of their jobs
 *   client.c   the AWS client for this configuration
 *
 * metadata->state holds, between stages: cluster, token, started_by, url, asked_at, form, provider,
 * subnet, client_token, arn; definition, of a generated one; request, the whole of RunTask until
 * the ARN is known. Times are milliseconds, deadlines absolute (clock.h);
 * *_s are Unix seconds. Sources: Amazon ECS API Reference (RunTask, DescribeTasks, StopTask,
 * ListTasks, API failure reasons, Stopped tasks error messages) and the Developer Guide (task
 * lifecycle, request throttling).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_ECS_H
#define BERTH_DRIVER_BACKEND_ECS_ECS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/aws/aws.h"
#include "driver/backend/backend.h"
#include "driver/backend/ecs/looks.h"

#define ECS_ARN_BYTES         256
#define ECS_STARTED_BY_BYTES  129  /* RunTask's limit, with the NUL */
#define ECS_TOKEN_BYTES       65   /* the same for clientToken */
#define ECS_OVERRIDES_CEILING 8192 /* characters of RunTask's overrides, JSON included */
#define ECS_REASON_CEILING    255  /* ECS's limit on StopTask's reason */
#define ECS_TAG_KEY_BYTES     129
#define ECS_TAG_VALUE_BYTES   257
#define ECS_DESCRIBE_CEILING  100   /* ARNs in one DescribeTasks */
#define ECS_MISSING_MS        30000 /* how long DescribeTasks may not show a new task */

/* In metadata->state: the generated task definition, by ARN or, before it has one, by family. */
#define ECS_STATE_DEFINITION "definition"
#define ECS_STATE_REQUEST    "request"

struct ecs_generated;

/* How service_logs.c reads, in the process that follows the logs. */
struct ecs_follow {
    struct aws_client *client; /* NULL: none yet. Of its own: 'client' of the session may be in use
                                  by the parent */
    int64_t due_ms;            /* of the next call */
    int64_t slot_ms;           /* of pace.h, reserved for the next call; 0: none */
    int failures;              /* in a row */
    int first;                 /* the service that is read first */
};

/* State of this process, not saved. */
struct ecs_session {
    struct aws_client *client;
    int64_t launched_ms;             /* 0: this process has not launched it */
    int64_t running_since_ms;        /* seen as RUNNING; 0: not yet */
    bool reached;                    /* an SSH connection succeeded, in this process or before */
    struct ecs_looks looks;          /* looks.h */
    int64_t looked_ms;               /* the last look, also in vain; 0: none yet */
    int64_t due_ms;                  /* of the next look */
    int64_t pause_ms;                /* between two looks during startup; grows */
    char shown_status[32];           /* the last status written to the job's log */
    char interface[64];              /* the task's; empty: not known yet */
    struct ecs_generated *generated; /* NULL: the task definition is used as it is */
    struct ecs_follow follow;
};

/* One task in the answer of DescribeTasks. Missing texts are empty. */
struct ecs_view {
    bool missing;
    char arn[ECS_ARN_BYTES];
    char status[32], desired[32];
    char provider[64];
    char stop_code[64];
    char stopped_reason[384];
    char container_reason[256]; /* of the job's container, else of the first with a reason */
    int exit_code;              /* of the job's container; -1: not known */
    char failed[64];            /* another container that failed; empty: none */
    int failed_code;
    char interface[64];
    char address[64];
    int64_t created_ms, pull_ms, pulled_ms, started_ms; /* Unix milliseconds; 0: not yet */
};

enum ecs_verdict {
    ECS_UNKNOWN,
    ECS_ELSEWHERE, /* another subnet or capacity provider may have capacity */
    ECS_PERMANENT, /* a retry cannot fix it */
};

/* How RunTask asks for capacity. Metadata of earlier versions has none: without a strategy they
 * used launch type FARGATE, without a version platform version LATEST. */
#define ECS_FORM_DEFAULT     "default"     /* neither field: the cluster's default strategy */
#define ECS_FORM_LAUNCH_TYPE "launch-type" /* launchType FARGATE */
#define ECS_FORM_STRATEGY    "strategy"    /* 'provider', else [Fargate] CapacityProviders */

/* Parameters of one RunTask besides configuration, job and keys. */
struct ecs_placement {
    const char *form;     /* NULL: as earlier versions */
    const char *provider; /* NULL: according to the form */
    const char *subnet;
    const char *token;
};

struct ecs_advice {
    enum ecs_verdict verdict;
    const char *hint; /* what to do; NULL: not known */
};

/* What an error text means: of a RunTask that started nothing, of a task that stopped. */
struct ecs_advice ecs_advice_of_refusal(const char *text);
struct ecs_advice ecs_advice_of_stop(const char *text);
/* Whether ECS refused RunTask because it assumed launch type EC2, which it does without a launch
 * type and without a strategy, of the request or of the cluster. MAYBE: a default strategy of other
 * capacity than Fargate leads to the same text. */
enum ecs_wants { ECS_WANTS_NOTHING, ECS_WANTS_LAUNCH_TYPE, ECS_WANTS_LAUNCH_TYPE_MAYBE };
enum ecs_wants ecs_advice_wants(const char *text);
/* Whether RunTask was refused because the task definition does not exist (yet) or is INACTIVE. */
bool ecs_advice_lacks_definition(const char *text);

/* The session of a task, created on first use. */
struct ecs_session *ecs_session_of(struct backend_task *task, struct error *err);
/* A text of metadata->state, or NULL. */
const char *ecs_state_text(const struct metadata *metadata, const char *name);
int ecs_state_set(struct metadata *metadata, const char *name, const char *text, struct error *err)
    __attribute__((warn_unused_result));
/* The last part of an ARN. */
const char *ecs_short_name(const char *arn);
/* Writes a line to the job's log, with the seconds since the launch. */
void ecs_progress(const struct backend_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The RunTask request; the caller deletes it. */
cJSON *ecs_request_new(const struct backend_task *task, const struct ecs_placement *ask,
                       struct error *err);

/* Adds [Fargate] Tags, for the present job, as "tags". */
int ecs_request_tags(const struct config *config, cJSON *request, struct error *err)
    __attribute__((warn_unused_result));

/* warm.c: see struct backend. */
int ecs_requirements(const struct config *config, struct buffer *out_text, struct error *err)
    __attribute__((warn_unused_result));
int ecs_claimed(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

int ecs_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
/* The public address, without [Fargate] UsePublicIP. See backend.h. */
int ecs_second_address(struct backend_task *task, char *out, size_t room);

/* A task in an answer of RunTask or DescribeTasks, NULL: it is missing; 'container' is the name of
 * the job's container. */
void ecs_view_read(const cJSON *task, const char *container, struct ecs_view *out_view);
/* Whether it has stopped or is stopping. */
bool ecs_view_ends(const struct ecs_view *view);
/* Fills 'err' with why a task stopped; returns -1. */
int ecs_view_error(const struct ecs_view *view, struct error *err);

int ecs_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
int ecs_list(const struct config *config, backend_visit *visit, void *context, int64_t deadline_ms,
             struct error *err) __attribute__((warn_unused_result));
int ecs_stop_listed(const struct config *config, const char *id, const char *reason,
                    int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));

/* backend.h: logs(). */
int ecs_logs(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* A number that AWS sends as text; 0: none. */
double ecs_number_in_text(const cJSON *object, const char *name);
/* Whether a task of DescribeTasks or RunTask does not run on Fargate: capacity providers of EC2
 * instances have other names. */
bool ecs_is_elsewhere(const cJSON *task);
/* Keeps size, capacity and image of a task with the job, for its history. Best effort. */
void ecs_record_facts(struct metadata *metadata, const cJSON *task, const char *container);

#endif
