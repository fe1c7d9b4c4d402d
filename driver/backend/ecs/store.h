/* SPDX-License-Identifier: MIT */
/*
 * store.h - what the drivers of one host remember about task definitions, capacity providers and
 * clusters, in files of the directory '.ecs-definitions' below the metadata directory.
 *
 * A cache: a file that is missing, old, or not trusted (metadata_directory.h) costs a call of ECS,
 * and nothing here fails. Files have mode 0600 and are replaced atomically. Ages are seconds of the
 * modification time. Runners with different accounts can share the directory: each name has a hash
 * of the identity and region of the client whose answer it holds.
 */
#ifndef BERTH_DRIVER_BACKEND_ECS_STORE_H
#define BERTH_DRIVER_BACKEND_ECS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "driver/aws/aws.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

#define ECS_STORE_NAME_BYTES 128

/* "KIND-HASH": the name for what this client's account and region answer about 'about'. 'kind' has
 * fewer than 90 bytes and no '/'. */
void ecs_store_name(const struct aws_client *client, const char *kind, const char *about,
                    char out[ECS_STORE_NAME_BYTES]);

/* Reads a file into 'out', which the caller has initialised; false: there is none of at most
 * 'age_ceiling_s', 0: of any age. 'out_age_s' may be NULL. */
bool ecs_store_read(const struct config *config, const char *name, int64_t age_ceiling_s,
                    struct buffer *out, int64_t *out_age_s);
void ecs_store_write(const struct config *config, const char *name, const char *text);
void ecs_store_remove(const struct config *config, const char *name);
/* Removes the files older than that. */
void ecs_store_sweep(const struct config *config, int64_t age_s);

/* Waits until no other process of this host holds the lock of that name, so that one asks ECS and
 * the others find its answer. Returns a descriptor to close, or -1 at the deadline, for a request
 * to stop, or where files cannot be locked: the caller then goes on without. */
int ecs_store_lock(const struct config *config, const char *name, struct signals *signals,
                   int64_t deadline_ms);

#endif
