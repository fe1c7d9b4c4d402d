/* SPDX-License-Identifier: MIT */
/*
 * docker_login.h - one login to a registry, and the programs that keep them: part of docker_auth.h.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_LOGIN_H
#define BERTH_DRIVER_BACKEND_DOCKER_LOGIN_H

#include <cjson/cJSON.h>

#include "common/error.h"
#include "driver/signals.h"

#define DOCKER_SECRET_BYTES 8192
#define DOCKER_HUB_HOST     "index.docker.io"
#define DOCKER_HUB_KEY      "https://" DOCKER_HUB_HOST "/v1/"

struct docker_login {
    char user[DOCKER_SECRET_BYTES];
    char password[DOCKER_SECRET_BYTES];
    char token[DOCKER_SECRET_BYTES]; /* instead of the two */
};

/* To one of the fields above; NULL is empty. */
void docker_login_copy(char *out, const char *text);

/* Wipes every text in it first. */
void docker_login_delete_json(cJSON *root);

/* Runs docker-credential-NAME for 'registry'. Returns 1 with a login, or -1: no such program, its
 * failure, or what it printed is none. 'signals' may be NULL. */
int docker_helper_ask(const char *name, const char *registry, struct signals *signals,
                      struct docker_login *login, struct error *err)
    __attribute__((warn_unused_result));

#endif
