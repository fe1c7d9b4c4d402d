/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - 'berth-driver doctor': what stands between this configuration and its first job.
 *
 * Each file of this directory looks at one part and tells what it found, a line each: fine, odd,
 * wrong or not looked at; what is not fine comes with what to do about it. Nothing is changed and
 * no task is started. A part that another one depends on leaves what it learned in struct doctor;
 * what depends on it and has nothing to work with says that it was not checked.
 *
 *   report.c       the lines, and the sum of them
 *   host.c         this machine: settings, metadata directory, SSH
 *   account.c      AWS: region, credentials, who they are, the clock
 *   cluster.c      the ECS cluster and its capacity providers
 *   definition.c   the task definition
 *   image.c        the image of its job container, as ECR has it; ecr_name.h, platforms.h
 *   network.c      subnets and their way out; ec2.c asks
 *   groups.c       security groups: the way in
 *   permissions.c  each action of policy.h, asked for without doing anything
 *   engine.c       the Docker Engine
 *
 * Sources: API references of ECS, ECR, EC2, IAM and STS; GitLab's documentation of its Fargate
 * driver
 * ("Troubleshooting"). Times are milliseconds, the deadline absolute (clock.h).
 */
#ifndef BERTH_DRIVER_DOCTOR_H
#define BERTH_DRIVER_DOCTOR_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/aws/aws.h"
#include "driver/config.h"
#include "driver/signals.h"

#define DOCTOR_ARN_BYTES 512

enum doctor_finding { DOCTOR_FINE, DOCTOR_ODD, DOCTOR_WRONG, DOCTOR_UNKNOWN, DOCTOR_FINDINGS };

struct doctor {
    const struct config *config;
    struct signals *signals;
    int64_t deadline_ms;
    bool colour;
    int counts[DOCTOR_FINDINGS];
    /* Of AWS; NULL and empty: not known. */
    struct aws_client *client;
    char caller[DOCTOR_ARN_BYTES]; /* the ARN of who calls */
    char account[16];
    cJSON *definition; /* as DescribeTaskDefinition tells it */
    char vpc[64];      /* of the subnets */
};

/* report.c: a heading, then findings. 'remedy' may be NULL. */
void doctor_part(const char *name);
void doctor_tell(struct doctor *doctor, enum doctor_finding finding, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* An error's message, cut at its own "; what to do next". */
void doctor_tell_error(struct doctor *doctor, const struct error *err, const char *remedy);
/* The last line. */
void doctor_tell_sum(const struct doctor *doctor);

/* One part each. */
typedef void doctor_check(struct doctor *doctor);
doctor_check doctor_check_host, doctor_check_account, doctor_check_cluster, doctor_check_definition,
    doctor_check_network, doctor_check_permissions, doctor_check_engine;

/* groups.c, after network.c has found the VPC. */
doctor_check doctor_check_groups;

/* account.c: finds region, credentials and account without a word, for --policy. */
int doctor_find_account(struct doctor *doctor, struct error *err)
    __attribute__((warn_unused_result));
/* definition.c: DescribeTaskDefinition into doctor->definition, for --policy as well. */
int doctor_find_definition(struct doctor *doctor, struct error *err)
    __attribute__((warn_unused_result));

/* definition.c: the container of that name in a task definition; NULL: there is none. */
const cJSON *doctor_container(const cJSON *definition, const char *name);
/* image.c: of a container of doctor->definition. */
void doctor_check_image(struct doctor *doctor, const cJSON *container);

/* A call with a deadline of its own below the whole one; as aws_ecs(), aws_ecr() and aws_query().
 */
int doctor_ecr(struct doctor *doctor, const char *region, const char *operation,
               const cJSON *request, cJSON **out_answer, struct aws_failure *out_failure,
               struct error *err) __attribute__((warn_unused_result));
int doctor_ecs(struct doctor *doctor, const char *operation, const cJSON *request,
               cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));
int doctor_query(struct doctor *doctor, enum aws_query_service service, const char *operation,
                 const char *const *parameters, cJSON **out_answer, struct aws_failure *out_failure,
                 struct error *err) __attribute__((warn_unused_result));

#endif
