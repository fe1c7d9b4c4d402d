/* SPDX-License-Identifier: MIT */
/*
 * docker_auth.h - the login to a registry, from the files where 'docker login' keeps it.
 *
 * Looked for in this order, as GitLab Runner does: the job variable DOCKER_AUTH_CONFIG (JSON), then
 * config.json in DOCKER_CONFIG or ~/.docker: "credHelpers" for the registry, "auths", "credsStore";
 * then the login that GitLab gives each job for its own registry (CI_REGISTRY).
 * A credential helper (docker-credential-NAME) is run for that file alone: it is the
 * administrator's, while whoever writes a pipeline sets the variable. Texts with passwords are
 * wiped.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_AUTH_H
#define BERTH_DRIVER_BACKEND_DOCKER_AUTH_H

#include "common/error.h"
#include "driver/signals.h"

/* "X-Registry-Auth: ..." in memory for sodium_free(), or NULL when there is no login for
 * 'registry' ("docker.io", "registry.example:5000"). 'signals' may be NULL. A file that is no JSON
 * is ERROR_USAGE. */
int docker_auth_header(const char *registry, struct signals *signals, char **out_header,
                       struct error *err) __attribute__((warn_unused_result));

#endif
