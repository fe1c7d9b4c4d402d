/* SPDX-License-Identifier: MIT */
/*
 * cache.h - what is remembered about images and registries, in one file beside the metadata.
 *
 * Images by digest and platform: the content behind a digest does not change. Hosts that did not
 * answer, for 5 minutes. The file has mode 0600, a ceiling in entries and bytes, and is replaced
 * atomically; of two processes that write at once, one's entry may be lost, which costs one GET. A
 * file that is not valid, and a missing metadata directory, are an empty cache. Nothing here fails:
 * problems are logged as debug.
 */
#ifndef BERTH_DRIVER_REGISTRY_CACHE_H
#define BERTH_DRIVER_REGISTRY_CACHE_H

#include <stdbool.h>

#include "driver/registry/image_facts.h"

#define CACHE_SILENCE_S 300

/* 'directory': [TaskMetadata] Directory. */
bool cache_find(const char *directory, const char *digest, const struct image_platform *wanted,
                struct image_facts *out_facts);
void cache_add(const char *directory, const struct image_platform *wanted,
               const struct image_facts *facts);

bool cache_is_silent(const char *directory, const char *host);
void cache_add_silent(const char *directory, const char *host);

#endif
