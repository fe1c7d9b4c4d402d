/* SPDX-License-Identifier: MIT */
/*
 * platforms.h - the platforms of an image, such as "linux/amd64", from manifests and
 * configurations.
 *
 * Sources: OCI image specification (image-index.md, manifest.md, config.md); Docker's manifest
 * lists and manifests have the same fields. The caller embeds a zeroed struct; it owns nothing. The
 * names come from the image and are not trusted.
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_PLATFORMS_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_PLATFORMS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#define PLATFORM_BYTES    48
#define PLATFORMS_CEILING 32

struct platforms {
    char names[PLATFORMS_CEILING][PLATFORM_BYTES];
    size_t count;
    bool open; /* an entry has no platform, or there are more than fit */
};

/* The entries of an index; false: this is not an index. Attestations, whose platform is "unknown",
 * are left out. */
bool platforms_read_index(const cJSON *manifest, struct platforms *out);

/* An image's configuration. */
void platforms_read_config(const cJSON *config, struct platforms *out);

/* The digest of a single image's configuration; NULL: the manifest has no usable one. */
const char *platforms_config_digest(const cJSON *manifest);

bool platforms_have(const struct platforms *platforms, const char *name);

/* "linux/amd64, linux/arm64", cut where 'out' ends. */
void platforms_write(const struct platforms *platforms, char *out, size_t room);

#endif
