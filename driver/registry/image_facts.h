/* SPDX-License-Identifier: MIT */
/*
 * image_facts.h - what a registry says about an image, for one processor.
 *
 * image_facts_done() frees the contents; it accepts a zeroed struct. All texts come from the
 * registry: escape them where they are printed (common/escape.h). Sources: OCI image-spec 1.1
 * (manifest, index, config), Docker Registry HTTP API V2, Image Manifest V2 Schema 2; the
 * annotations of soci-snapshotter.
 */
#ifndef BERTH_DRIVER_REGISTRY_IMAGE_FACTS_H
#define BERTH_DRIVER_REGISTRY_IMAGE_FACTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/registry/digest.h"
#include "driver/registry/platform.h"

#define IMAGE_DIGEST_BYTES  DIGEST_BYTES
#define IMAGE_USER_BYTES    256
#define IMAGE_PORT_CEILING  32
#define IMAGE_WORDS_CEILING 256 /* of ENTRYPOINT, and of CMD */

struct image_facts {
    char digest[IMAGE_DIGEST_BYTES]; /* of what the tag names: an index or a manifest */
    struct image_platform platform;
    char user[IMAGE_USER_BYTES];        /* USER; empty: root */
    cJSON *entrypoint;                  /* array of texts, never NULL: empty when there is none */
    cJSON *command;                     /* CMD, the same */
    uint16_t ports[IMAGE_PORT_CEILING]; /* EXPOSE, TCP alone, ascending */
    size_t port_count;
    int64_t compressed_bytes; /* of all layers */
    bool has_soci_index;      /* of version 2, with which Fargate loads layers lazily */
};

void image_facts_done(struct image_facts *facts);

#endif
