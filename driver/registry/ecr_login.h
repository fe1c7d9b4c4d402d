/* SPDX-License-Identifier: MIT */
/*
 * ecr_login.h - the login to a private registry of ECR: ecr:GetAuthorizationToken.
 *
 * The token is valid for 12 hours in all registries that the caller may read. It is kept in the
 * memory of this process for its next image, and not stored.
 */
#ifndef BERTH_DRIVER_REGISTRY_ECR_LOGIN_H
#define BERTH_DRIVER_REGISTRY_ECR_LOGIN_H

#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/registry/login.h"

/* In 'region', as in the registry's name. */
int ecr_login(struct aws_client *client, const char *region, int64_t deadline_ms,
              struct registry_login *login, struct error *err) __attribute__((warn_unused_result));

#endif
