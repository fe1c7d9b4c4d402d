/* SPDX-License-Identifier: MIT */
/*
 * credential_helper.h - runs docker-credential-NAME, which prints the login to a registry
 * (docker/docker-credential-helpers, "Development").
 */
#ifndef BERTH_DRIVER_REGISTRY_CREDENTIAL_HELPER_H
#define BERTH_DRIVER_REGISTRY_CREDENTIAL_HELPER_H

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/registry/login.h"

/* Runs it for 'key'. 1 with a login; 0 when there is no such program, or it has none; -1 when it
 * fails, or when its output is not a login. 'signals' may be NULL. */
int credential_helper_run(const char *name, const char *key, struct signals *signals,
                          struct registry_login *login, struct error *err)
    __attribute__((warn_unused_result));

#endif
