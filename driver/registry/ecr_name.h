/* SPDX-License-Identifier: MIT */
/*
 * ecr_name.h - parses the name of an image in a private registry of Amazon ECR.
 *
 * ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX/REPOSITORY[:TAG][@DIGEST], or with ".dkr-ecr" and the suffix
 * of dual-stack registries (Amazon ECR User Guide, "Making requests to Amazon ECR registries").
 * The suffix must be the region's own: a host that only looks similar is another registry.
 */
#ifndef BERTH_DRIVER_REGISTRY_ECR_NAME_H
#define BERTH_DRIVER_REGISTRY_ECR_NAME_H

#include <stdbool.h>

#include "driver/aws/service.h"

#define ECR_ACCOUNT_DIGITS   12
#define ECR_REPOSITORY_BYTES 257

struct ecr_name {
    char account[ECR_ACCOUNT_DIGITS + 1];
    char region[AWS_REGION_BYTES];
    char repository[ECR_REPOSITORY_BYTES];
    char tag[160]; /* "latest" when none is written, or the digest */
    bool is_digest;
};

/* -1: not in ECR, or not an image name; 'out_name' is then untouched. */
int ecr_name_parse(const char *text, struct ecr_name *out_name) __attribute__((warn_unused_result));

#endif
