/* SPDX-License-Identifier: MIT */
/*
 * platform.h - platforms of images such as "linux/arm64/v8". Pure text.
 *
 * Spelled and normalised as in containerd's package platforms: "x86_64" is "amd64", "aarch64" is
 * "arm64", a name alone is an operating system or a processor.
 */
#ifndef BERTH_DRIVER_REGISTRY_PLATFORM_H
#define BERTH_DRIVER_REGISTRY_PLATFORM_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define IMAGE_PLATFORM_BYTES 104

struct image_platform {
    char os[32];
    char architecture[32]; /* empty: any */
    char variant[32];      /* empty: any */
};

/* Returns -1 for a text that is not a platform; 'out_platform' is then untouched. */
int image_platform_parse(const char *text, struct image_platform *out_platform)
    __attribute__((warn_unused_result));

/* That of an image as the engine describes it. */
void image_platform_of_image(const cJSON *image, struct image_platform *out_platform);

/* Whether an image of the platform 'image' matches 'wanted'. */
bool image_platform_fits(const struct image_platform *wanted, const struct image_platform *image);

/* "linux/arm64/v8" */
void image_platform_text(const struct image_platform *platform, char out[IMAGE_PLATFORM_BYTES]);

#endif
