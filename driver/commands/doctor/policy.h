/* SPDX-License-Identifier: MIT */
/*
 * policy.h - the minimal IAM policy of the runner host for one configuration.
 *
 * One table serves the printed policy and the check of each permission. Resources are ARNs of this
 * region, account and cluster; an unknown account is '*'. The roles of tasks (iam:PassRole) come
 * from the task definition, the configuration and its allow lists. Sources: AWS
 * Service Authorization Reference (Amazon ECS, ECR, EC2, IAM); Amazon ECS Developer Guide, "Grant
 * permission to tag resources on creation".
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_POLICY_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_POLICY_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/config/config.h"

#define POLICY_ACTIONS 6

struct policy_scope {
    const struct config *config;
    const char *region;
    const char *account;     /* "*": not known */
    const char *caller;      /* ARN of a user or assumed role; NULL: not known */
    const cJSON *definition; /* NULL: not known */
};

struct policy_row {
    const char *sid;
    const char *actions[POLICY_ACTIONS];
    /* Appends ARNs to an array; NULL: "*". */
    void (*resources)(const struct policy_scope *scope, cJSON *out, bool *ok);
    const char *test, *key, *value;              /* a condition; value NULL: the cluster's ARN */
    bool (*needed)(const struct config *config); /* NULL: always */
    bool of_doctor;                              /* only 'doctor' needs it */
};

/* The rows that this configuration needs, by index from 0; NULL: no more. */
const struct policy_row *policy_row(const struct config *config, size_t index);

/* Whether jobs work without it: the lookup of the public address, which is tried beside the private
 * one, and look-ups of images in ECR. */
bool policy_row_is_optional(const struct config *config, const struct policy_row *row);

/* The value of a row's condition, into 'out'. */
void policy_condition(const struct policy_scope *scope, const struct policy_row *row, char *out,
                      size_t room);

/* The whole document; NULL: out of memory. The caller deletes it. */
cJSON *policy_make(const struct policy_scope *scope);

/* That of 'push-agent' for one repository; 'creates': which it may have to create. */
cJSON *policy_make_push(const char *region, const char *account, const char *repository,
                        bool creates);

/* "arn:...:role/NAME" of an assumed role, without its path, which is not known; any other ARN
 * unchanged. */
void policy_principal(const char *caller, char *out, size_t room);

#endif
