/* SPDX-License-Identifier: MIT */
/*
 * volumes.h - [Docker] Volumes, and the volume with the builds directory of one job.
 *
 * The builds directory of a job with a helper or services is a volume of its own, at the same path
 * in all of its containers. It is created empty: what an image has there is not copied. It has the
 * job's labels, by which docker_remove_job() finds it. Without both it is an anonymous volume,
 * which goes with the job's container.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_VOLUMES_H
#define BERTH_DRIVER_BACKEND_DOCKER_VOLUMES_H

#include "driver/backend/docker/api.h"

#define DOCKER_BUILDS            "/builds"
#define DOCKER_CACHE             "/cache"
#define DOCKER_VOLUME_NAME_BYTES 96

/* Which entries of [Docker] Volumes a container gets. */
enum docker_volumes {
    DOCKER_VOLUMES_ALL,
    DOCKER_VOLUMES_SHARED, /* named ones, and directories of the host below builds or cache */
    DOCKER_VOLUMES_BUILDS, /* those at or below builds */
};

/* A relative FROM must exist. */
int docker_volumes_check(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

/* Where an entry of a list of the file is from, of which an option adds entries. */
const char *docker_entry_place(const struct config *config, const struct config_list *list,
                               size_t i, const char *option, char out[CONFIG_PLACE_BYTES]);

/* Whether the configuration mounts something at the builds directory. */
bool docker_volumes_have_builds(const struct config *config);

/* Whether a VOLUME of an image hides a directory below the builds directory: the engine mounts an
 * empty volume there, in this container alone, unless the configuration mounts something. */
bool docker_volumes_hide_builds(const struct config *config, const char *volume);

/* Whether 'directory' is a mount of the configuration that must not be changed: a directory of the
 * host keeps its owner and mode, and a read-only one cannot be written. */
bool docker_volumes_keep(const struct config *config, const char *directory);

/* Appends the configured mounts to the array. */
int docker_volumes_add(const struct config *config, enum docker_volumes which, cJSON *mounts,
                       bool *ok, struct error *err) __attribute__((warn_unused_result));

/* One mount; 'from' NULL: an anonymous volume. */
void docker_mount_add(cJSON *mounts, const char *from, const char *to, bool is_directory,
                      bool read_only, bool *ok);
/* The volume 'name' at the builds directory. */
void docker_mount_add_builds(cJSON *mounts, const char *name, bool *ok);

void docker_builds_name(const char *job, char out[DOCKER_VOLUME_NAME_BYTES]);
/* Success if it exists already. 'labels' stays the caller's. */
int docker_builds_create(struct docker *docker, const char *name, const cJSON *labels,
                         int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
