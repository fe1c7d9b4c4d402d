/* SPDX-License-Identifier: MIT */
/*
 * ec2.h - EC2's "describe" calls, for network.c and groups.c.
 *
 * Values are borrowed until the call; the struct must stay where it is, since it points into
 * itself. The caller deletes what doctor_ec2() returns.
 */
#ifndef BERTH_DRIVER_DOCTOR_EC2_H
#define BERTH_DRIVER_DOCTOR_EC2_H

#include "driver/doctor/doctor.h"

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

/* The list called 'set' in the answer, empty when it is missing; NULL after telling why EC2 does
 * not answer. 'remedy' is for names that EC2 does not know; NULL: there is none. */
cJSON *doctor_ec2(struct doctor *doctor, const char *operation,
                  const struct ec2_parameters *parameters, const char *set, const char *remedy);

#endif
