/* SPDX-License-Identifier: MIT */
/*
 * auth.h - the login to a registry, from the files where 'docker login' keeps it.
 *
 * Looked for in this order: the job variable DOCKER_AUTH_CONFIG (JSON), config.json in
 * DOCKER_CONFIG or ~/.docker, the login that GitLab gives each job for its own registry
 * (CI_REGISTRY). Within one: "credHelpers", "credsStore", "auths". Of several keys the longest that
 * the image's name begins with counts, part by part: "R/grp1" before "R", and never for an image in
 * "R/grp2". Docker Hub is docker.io, index.docker.io and registry-1.docker.io, with or without
 * "https://" and "/v1/". A credential helper (docker-credential-NAME) is run for the file alone,
 * because the job controls the variable. One that is not installed or has no login is skipped.
 * Texts with passwords are wiped.
 */
#ifndef BERTH_DRIVER_REGISTRY_AUTH_H
#define BERTH_DRIVER_REGISTRY_AUTH_H

#include <cjson/cJSON.h>

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/registry/login.h"
#include "driver/registry/name.h"

struct registry_auth {
    char *header;   /* "X-Registry-Auth: ..." for sodium_free(); NULL: no login */
    char note[256]; /* why a helper failed; empty: none did */
};

/* 'signals' may be NULL. A file that is not valid JSON is ERROR_USAGE. */
int registry_auth_find(const struct image_name *name, struct signals *signals,
                       struct registry_auth *out_auth, struct error *err)
    __attribute__((warn_unused_result));

/* The same as a login: 1 with one, 0 without, -1. */
int registry_auth_login(const struct image_name *name, struct signals *signals,
                        struct registry_login *login, struct error *err)
    __attribute__((warn_unused_result));

/* The job's own login alone: the job variable DOCKER_AUTH_CONFIG, the credentials of type registry
 * in 'response' (JOB_RESPONSE_FILE; may be NULL), CI_REGISTRY. Never one of this host. Returns 1
 * with a login, 0 without, -1 for a variable that is not valid. */
int registry_auth_own(const struct image_name *name, const cJSON *response,
                      struct registry_login *login, struct error *err)
    __attribute__((warn_unused_result));

#endif
