/* SPDX-License-Identifier: MIT */
/*
 * client.h - an AWS client with the configuration's region, profile and session tags.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_CLIENT_H
#define BERTH_DRIVER_BACKEND_ECS_CLIENT_H

#include "driver/aws/aws.h"
#include "driver/config/config.h"

/* 'config' must outlive the client; 'signals' may be NULL. aws_client_free() frees it. */
struct aws_client *ecs_client_new(const struct config *config, struct signals *signals,
                                  struct error *err);

#endif
