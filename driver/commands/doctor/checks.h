/* SPDX-License-Identifier: MIT */
/*
 * checks.h - the checks of 'berth-driver doctor', one file each. They change nothing and start no
 * task.
 *
 *   host.c         this machine: configuration, metadata directory, SSH
 *   account.c      AWS: region, credentials, account, clock
 *   cluster.c      the ECS cluster and its capacity providers
 *   definition.c   the task definition
 *   generated.c    what jobs with an image of their own need
 *   image.c        the image of its job container in ECR (platforms.h)
 *   network.c      subnets and their routes
 *   groups.c       security groups
 *   permissions.c  each action of policy.h, tried without an effect
 *   engine.c       the Docker Engine
 *   warm.c         the pool of warm tasks: disk, zones, numbers, price
 *
 * Sources: API references of ECS, ECR, EC2, IAM and STS; GitLab's documentation of its Fargate
 * driver ("Troubleshooting").
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_CHECKS_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_CHECKS_H

#include "driver/commands/doctor/report.h"

typedef void doctor_check(struct doctor *doctor);
doctor_check doctor_check_host, doctor_check_account, doctor_check_cluster, doctor_check_definition,
    doctor_check_network, doctor_check_permissions, doctor_check_engine, doctor_check_generated,
    doctor_check_warm;

/* After doctor_check_network(), which finds the VPC. */
doctor_check doctor_check_groups;
/* Checks the image of a container of doctor->definition. */
void doctor_check_image(struct doctor *doctor, const cJSON *container);

/* Finds region, credentials and account, and reports nothing. */
int doctor_find_account(struct doctor *doctor, struct error *err)
    __attribute__((warn_unused_result));
/* Fetches doctor->definition, and reports nothing. */
int doctor_find_definition(struct doctor *doctor, struct error *err)
    __attribute__((warn_unused_result));

#endif
