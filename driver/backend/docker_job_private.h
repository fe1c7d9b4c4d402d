/* SPDX-License-Identifier: MIT */
/*
 * docker_job_private.h - what docker_job_check.c (what is asked for, and whether it may be) and
 * docker_job.c (the container made of it) share. Nothing else includes it.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_JOB_PRIVATE_H
#define BERTH_DRIVER_BACKEND_DOCKER_JOB_PRIVATE_H

#include <stdbool.h>

#include "common/error.h"

/* Bytes of a volume's text or a label's name, with the NUL. */
#define DOCKER_SPEC_CEILING 4096

/* One of [Docker] Volumes in parts. */
struct docker_volume {
    char from[DOCKER_SPEC_CEILING], to[DOCKER_SPEC_CEILING];
    bool is_directory, read_only;
};

/* Takes FROM:TO[:MODE] apart; a relative FROM is looked up below the current directory. Returns -1
 * after filling 'err', with parts of 'volume' written. */
int docker_volume_parse(const char *text, struct docker_volume *volume, struct error *err)
    __attribute__((warn_unused_result));

#endif
