/* SPDX-License-Identifier: MIT */
/*
 * name.h - names of container images: their parts, allow lists, aliases of services. Pure text.
 *
 * A name is [REGISTRY[:PORT]/]PATH[:TAG][@DIGEST] (grammar: the distribution project's reference
 * package). Aliases of services follow GitLab Runner (helpers/container/services).
 */
#ifndef BERTH_DRIVER_REGISTRY_NAME_H
#define BERTH_DRIVER_REGISTRY_NAME_H

#include <stdbool.h>

#include "common/error.h"
#include "driver/config/config.h"

#define IMAGE_NAME_BYTES  512
#define DOCKER_HUB        "docker.io"
#define DOCKER_HUB_HOST   "index.docker.io"
#define IMAGE_ALIAS_BYTES 256 /* no DNS name is longer */

struct image_name {
    char repository[IMAGE_NAME_BYTES]; /* with the registry, as it was written */
    char tag[160];                     /* "latest" when none was written, or "sha256:..." */
    char registry[256];                /* "docker.io" when none was written */
};

/* Returns -1 for a text that is not a valid image name, with 'out_name' untouched. */
int image_name_parse(const char *text, struct image_name *out_name)
    __attribute__((warn_unused_result));

/* Adds to the error about a text that is not valid what to do if capitals in its path are all that
 * makes it so. Returns -1. */
int image_name_hint(const char *text, struct error *err);

/* Whether a pattern (pattern.h) matches the name as written, or with its default tag. A digest can
 * name any image ever pushed to the repository, whatever tag is beside it: it needs a pattern with
 * that digest, with all tags ("ruby:*") or without a tag. */
bool image_name_matches(const char *pattern, const char *text);
bool image_name_allowed(const struct config_list *patterns, const char *text);

/* Whether an engine may take the text for an image id or its beginning, which patterns cannot
 * restrict. */
bool image_name_may_be_id(const char *text);

/* Whether the first 'length' characters name Docker Hub: docker.io and its older names. */
bool image_name_is_hub(const char *host, size_t length);

/* The two host names of a service: '/' as "__" and as "-", without port, tag and digest. The
 * second is empty when it is the same. */
void image_name_aliases(const struct image_name *name, char out_aliases[2][IMAGE_ALIAS_BYTES]);

#endif
