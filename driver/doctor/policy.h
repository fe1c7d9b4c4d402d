/* SPDX-License-Identifier: MIT */
/*
 * policy.h - what the runner's host must be allowed in AWS for one configuration, and no more.
 *
 * One table serves the printed policy and the check of each permission. Resources are ARNs of this
 * region, account and cluster; an account that is not known is '*'. The roles that a task is given
 * (iam:PassRole) come from the task definition, the settings and their allow lists. Sources: AWS
 * Service Authorization Reference (Amazon ECS, ECR, EC2, IAM); Amazon ECS Developer Guide, "Grant
 * permission to tag resources on creation".
 */
#ifndef BERTH_DRIVER_DOCTOR_POLICY_H
#define BERTH_DRIVER_DOCTOR_POLICY_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/config.h"

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
    bool of_doctor;                              /* jobs do without it */
};

/* The rows that this configuration needs, one after the other from index 0 on; NULL: no more. */
const struct policy_row *policy_row(const struct config *config, size_t index);

/* The value of a row's condition, into 'out'. */
void policy_condition(const struct policy_scope *scope, const struct policy_row *row, char *out,
                      size_t room);

/* The whole document; NULL: no memory. The caller deletes it. */
cJSON *policy_make(const struct policy_scope *scope);

/* "arn:...:role/NAME" of an assumed role, as far as a role's path can be known; any other ARN as it
 * is. */
void policy_principal(const char *caller, char *out, size_t room);

#endif
