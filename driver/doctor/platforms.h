/* SPDX-License-Identifier: MIT */
/*
 * platforms.h - what an image is built for: "linux/amd64", as manifests and configurations tell.
 *
 * Sources: OCI image specification (image-index.md, manifest.md, config.md); what is read here is
 * the same in Docker's manifest lists and manifests. The caller embeds a zeroed struct; it owns
 * nothing. What it holds comes from whoever pushed the image. Tells of an image without a platform
 * ('open') rather than guess.
 */
#ifndef BERTH_DRIVER_DOCTOR_PLATFORMS_H
#define BERTH_DRIVER_DOCTOR_PLATFORMS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#define PLATFORM_BYTES    48
#define PLATFORMS_CEILING 32

struct platforms {
    char names[PLATFORMS_CEILING][PLATFORM_BYTES];
    size_t count;
    bool open; /* there is something whose platform is not said, or more than fits */
};

/* The entries of an index; false: this is none. Attestations, which name their platform "unknown",
 * do not count. */
bool platforms_read_index(const cJSON *manifest, struct platforms *out);

/* An image's configuration. */
void platforms_read_config(const cJSON *config, struct platforms *out);

/* The digest of a single image's configuration; NULL: the manifest names none that can be used. */
const char *platforms_config_digest(const cJSON *manifest);

bool platforms_have(const struct platforms *platforms, const char *name);

/* "linux/amd64, linux/arm64", cut where 'out' ends. */
void platforms_tell(const struct platforms *platforms, char *out, size_t room);

#endif
