/* SPDX-License-Identifier: MIT */
/*
 * calls.h - calls of AWS for the checks, each with its own deadline below doctor's.
 *
 * Like aws_ecs(), aws_ecr() and aws_query(). doctor_ec2() is for EC2's "describe" calls: values
 * must stay valid until the call; struct ec2_parameters points into itself and must not be copied.
 * The caller deletes what a call returns.
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_CALLS_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_CALLS_H

#include "driver/commands/doctor/report.h"

int doctor_ecr(struct doctor *doctor, const char *region, const char *operation,
               const cJSON *request, cJSON **out_answer, struct aws_failure *out_failure,
               struct error *err) __attribute__((warn_unused_result));
int doctor_ecs(struct doctor *doctor, const char *operation, const cJSON *request,
               cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));
int doctor_query(struct doctor *doctor, enum aws_query_service service, const char *operation,
                 const char *const *parameters, cJSON **out_answer, struct aws_failure *out_failure,
                 struct error *err) __attribute__((warn_unused_result));

#define EC2_NAME_BYTES 64

struct ec2_parameters {
    char names[CONFIG_LIST_CEILING][EC2_NAME_BYTES];
    const char *list[2 * CONFIG_LIST_CEILING + 1];
    size_t count;
};

void ec2_add(struct ec2_parameters *parameters, const char *name, const char *value);
/* PREFIX.1, PREFIX.2 and so on. */
void ec2_add_list(struct ec2_parameters *parameters, const char *prefix,
                  const struct config_list *list);

/* The list called 'set' in the answer, empty if it is missing; NULL after reporting why the call
 * failed. 'remedy' is for names that EC2 does not know; NULL: the error's own hint. */
cJSON *doctor_ec2(struct doctor *doctor, const char *operation,
                  const struct ec2_parameters *parameters, const char *set, const char *remedy);

#endif
