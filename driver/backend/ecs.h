/* SPDX-License-Identifier: MIT */
/*
 * ecs.h - the parts of the backend 'ecs' among themselves: one task on ECS, Fargate by default.
 *
 *   ecs.c          the table of functions, plan, what a job's log is told
 *   ecs_job.c      sizes, roles and tags: configuration and job variables within what is allowed
 *   ecs_request.c  the RunTask request
 *   ecs_launch.c   RunTask over providers and subnets, until the task has an address
 *   ecs_view.c     DescribeTasks: one task's state
 *   ecs_stop.c     StopTask, with and without a known ARN
 *   ecs_replay.c   RunTask again under its token, to learn what it started
 *   ecs_list.c     every task of ours in the cluster
 *   ecs_advice.c   what ECS's texts mean and what to do about them
 *   ecs_pace.c     calls of all drivers on this machine, spaced out
 *
 * What survives between stages is in metadata->state: cluster, token, started_by, url, asked_at,
 * provider, subnet, client_token, arn. Times are milliseconds, deadlines absolute (clock.h); *_s
 * are Unix seconds. Sources: Amazon ECS API Reference (RunTask, DescribeTasks, StopTask, ListTasks,
 * API failure reasons, Stopped tasks error messages) and the Developer Guide (task lifecycle,
 * request throttling).
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_H
#define BERTH_DRIVER_BACKEND_ECS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/aws/aws.h"
#include "driver/backend.h"

#define ECS_ARN_BYTES         256
#define ECS_STARTED_BY_BYTES  129  /* what RunTask takes, with the NUL */
#define ECS_TOKEN_BYTES       65   /* the same for clientToken */
#define ECS_OVERRIDES_CEILING 8192 /* characters of RunTask's overrides, JSON included */
#define ECS_REASON_CEILING    255  /* of StopTask, by ECS's own limit on the text it shows */
#define ECS_TAG_CEILING       50
#define ECS_TAG_KEY_BYTES     129
#define ECS_TAG_VALUE_BYTES   257
#define ECS_DESCRIBE_CEILING  100 /* ARNs in one DescribeTasks */
#define ECS_MISSING_PATIENCE_MS \
    30000 /* RunTask's task may be unknown to DescribeTasks for so long */

/* Of this process alone. */
struct ecs_session {
    struct aws_client *client;
    int64_t launched_ms;      /* 0: this process has not launched it */
    int64_t running_since_ms; /* seen as RUNNING; 0: not yet */
    int64_t due_ms;           /* of the next look */
    int64_t pause_ms;         /* between two looks; grows */
    bool reserved;            /* due_ms is a slot of ecs_pace.h's */
    char told[32];            /* the last state that the job's log was told */
};

/* One task as DescribeTasks tells it. Texts are empty when not there. */
struct ecs_view {
    bool missing;
    char arn[ECS_ARN_BYTES];
    char status[32], desired[32];
    char provider[64];
    char stop_code[64];
    char stopped_reason[384];
    char container_reason[256]; /* of our container, else of the first that has one */
    int exit_code;              /* of our container; -1: not known */
    char interface[64];
    char address[64];
};

enum ecs_verdict {
    ECS_UNKNOWN,
    ECS_ELSEWHERE, /* another subnet or capacity provider may have what this one lacks */
    ECS_PERMANENT, /* no retry of the runner can heal it */
};

struct ecs_advice {
    enum ecs_verdict verdict;
    const char *hint; /* what to do; NULL: nothing is known */
};

/* What a text of ECS means: why RunTask started nothing, and why a task stopped. */
struct ecs_advice ecs_advice_of_refusal(const char *text);
struct ecs_advice ecs_advice_of_stop(const char *text);

/* The session of a task, made when needed. */
struct ecs_session *ecs_session_of(struct backend_task *task, struct error *err);
/* A text of metadata->state, NULL when there is none. */
const char *ecs_state_text(const struct metadata *metadata, const char *name);
int ecs_state_set(struct metadata *metadata, const char *name, const char *text, struct error *err)
    __attribute__((warn_unused_result));
/* The last part of an ARN. */
const char *ecs_short_name(const char *arn);
/* Tells the job's log, with the seconds since the launch. */
void ecs_tell(const struct backend_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The overrides' cpu, memory, ephemeralStorage and roles, and the tags; -1 of kind ERROR_USAGE for
 * what a job may not choose. */
int ecs_job_add_overrides(const struct config *config, cJSON *overrides, struct error *err)
    __attribute__((warn_unused_result));
int ecs_job_add_tags(const struct config *config, cJSON *request, struct error *err)
    __attribute__((warn_unused_result));

/* 'provider' NULL: launch type FARGATE or the configured strategy. The caller deletes it. */
cJSON *ecs_request_new(const struct backend_task *task, const char *provider, const char *subnet,
                       const char *token, struct error *err);

/*
 * A RunTask whose answer never came is looked for in two ways. ListTasks by startedBy starts
 * nothing and finds every attempt, but a task shows up there only some seconds after RunTask made
 * it. RunTask with the same token and parameters names the task at once; where the first request
 * never arrived it starts the task, to be stopped at once, and thereby uses the token up: a request
 * that is still on its way in a socket's buffer then starts nothing any more. So the list is asked
 * first, the token second, and the list again where the replay has no answer either. A token holds
 * for a day (ECS API Reference, Ensuring idempotency); a replay that differs from the first
 * request, since the configuration has changed meanwhile, is refused by ECS and starts nothing.
 *
 * ecs_replay_keep() notes what the request depends on, to be persisted before the call.
 * ecs_replay() returns 1 and the ARN, 0 when ECS says that nothing was started, -1 when that
 * cannot be told.
 */
int ecs_replay_keep(struct metadata *metadata, const char *provider, const char *subnet,
                    const char *token, struct error *err) __attribute__((warn_unused_result));
int ecs_replay(const struct backend_task *task, struct aws_client *client, int64_t deadline_ms,
               char out_arn[ECS_ARN_BYTES], struct error *err) __attribute__((warn_unused_result));

int ecs_launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* Failures that may pass are of kind ERROR_SYSTEM, others ERROR_USAGE. */
int ecs_look(struct ecs_session *session, const struct config *config, const char *cluster,
             const char *arn, int64_t deadline_ms, struct ecs_view *out_view, struct error *err)
    __attribute__((warn_unused_result));
/* The first task in an answer of DescribeTasks; 'container' is the name of ours. */
void ecs_view_read(const cJSON *answer, const char *container, struct ecs_view *out_view);
/* Whether it has stopped or is on its way there. */
bool ecs_view_ends(const struct ecs_view *view);
/* Fills 'err' with why a task ends, and returns -1. */
int ecs_view_error(const struct ecs_view *view, struct error *err);

int ecs_stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
int ecs_list(const struct config *config, backend_visit *visit, void *context, int64_t deadline_ms,
             struct error *err) __attribute__((warn_unused_result));
int ecs_stop_listed(const struct config *config, const char *id, const char *reason,
                    int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));
/* StopTask; a task that is gone is success. */
int ecs_stop_one(struct aws_client *client, const char *cluster, const char *arn,
                 const char *reason, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
