/* SPDX-License-Identifier: MIT */
/*
 * docker_list.h - every job that has anything on the engine, for 'ps' and 'gc'. See backend.h.
 *
 * A job is listed once: by its own container, else by whatever else of it is left (a service, the
 * network), since a launch can have died at any point. Its id is "berth-JOB".
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_LIST_H
#define BERTH_DRIVER_BACKEND_DOCKER_LIST_H

#include "driver/backend.h"

int docker_list(const struct config *config, backend_visit *visit, void *context,
                int64_t deadline_ms, struct error *err);
int docker_stop_listed(const struct config *config, const char *id, const char *reason,
                       int64_t deadline_ms, struct error *err);

#endif
