/* SPDX-License-Identifier: MIT */
/*
 * service.h - the AWS services that Berth calls, and their endpoints.
 *
 * Endpoints follow the rule sets that AWS publishes with its SDKs (partitions, FIPS, dual stack;
 * IAM is one service per partition). aws_endpoint() cannot fail: an unknown
 * region belongs to the partition 'aws', as in the SDKs.
 */
#ifndef BERTH_DRIVER_AWS_SERVICE_H
#define BERTH_DRIVER_AWS_SERVICE_H

#include <stdbool.h>

#include "driver/aws/aws.h"

enum aws_service {
    AWS_SERVICE_EC2 = AWS_EC2,
    AWS_SERVICE_STS = AWS_STS,
    AWS_SERVICE_IAM = AWS_IAM,
    AWS_SERVICE_ECS,
    AWS_SERVICE_ECR,
    AWS_SERVICE_LOGS,
};
#define AWS_SERVICE_COUNT 6
_Static_assert(AWS_SERVICE_LOGS + 1 == AWS_SERVICE_COUNT, "the number of services");

#define AWS_REGION_BYTES   64
#define AWS_ENDPOINT_BYTES 512

struct aws_service_row {
    const char *name;    /* in signatures and host names: "ecs" */
    const char *label;   /* of the variable AWS_ENDPOINT_URL_ECS */
    const char *version; /* of the query protocol, NULL: JSON */
};

struct aws_endpoint_choice {
    const char *region;
    bool fips, dualstack;
};

struct aws_endpoint {
    char url[AWS_ENDPOINT_BYTES];
    char region[AWS_REGION_BYTES]; /* to sign for */
};

const struct aws_service_row *aws_service_row(enum aws_service service);

void aws_endpoint(enum aws_service service, const struct aws_endpoint_choice *choice,
                  struct aws_endpoint *out);

/* Whether the text can be part of a host name: letters, digits and hyphens. */
bool aws_region_is_valid(const char *region);

/* "aws", "aws-cn", "aws-us-gov" ...: the partition of a region, as ARNs name it. */
const char *aws_partition(const char *region);

/* Whether 'suffix' is the domain of this region's services, e.g. "amazonaws.com"; dual-stack
 * registries have domains of their own ("on.aws"). */
bool aws_suffix_is_of(const char *region, const char *suffix, bool registry_dualstack);

#endif
