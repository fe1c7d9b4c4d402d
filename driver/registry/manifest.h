/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - manifests, indexes and configurations of images, as registries serve them. Pure.
 *
 * A document is checked once, when it is parsed, and can then be read without further checks: every
 * descriptor has a valid digest and a size, counts have ceilings, and a document that could be read
 * as an index and as a manifest is rejected (CVE-2021-41190), as is one whose mediaType is not the
 * Content-Type it came with. An index within an index is an entry like others; no platform of it is
 * chosen. Errors are ERROR_PEER. Sources: OCI image-spec 1.1, Docker Image Manifest V2 Schema 2.
 */
#ifndef BERTH_DRIVER_REGISTRY_MANIFEST_H
#define BERTH_DRIVER_REGISTRY_MANIFEST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/registry/image_facts.h"

#define MANIFEST_OCI_INDEX    "application/vnd.oci.image.index.v1+json"
#define MANIFEST_OCI          "application/vnd.oci.image.manifest.v1+json"
#define MANIFEST_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MANIFEST_DOCKER       "application/vnd.docker.distribution.manifest.v2+json"

#define MANIFEST_CEILING_BYTES (4UL << 20) /* what registries accept */
#define MANIFEST_TYPE_BYTES    128
#define MANIFEST_ENTRY_CEILING 256 /* of an index */
#define MANIFEST_LAYER_CEILING 512

struct manifest {
    cJSON *root;
    bool is_index;
    char type[MANIFEST_TYPE_BYTES]; /* one of the four above */
};

struct manifest_descriptor {
    const char *digest; /* of the manifest's tree */
    const char *type;   /* empty: not named */
    int64_t size;
    bool has_soci_index; /* of an index's entry */
};

/* 'content_type' is the header's, with or without parameters; NULL: not known. */
int manifest_parse(const char *text, size_t length, const char *content_type,
                   struct manifest *out_manifest, struct error *err)
    __attribute__((warn_unused_result));
void manifest_done(struct manifest *manifest);

/* The configuration of a manifest that is not an index. */
struct manifest_descriptor manifest_config(const struct manifest *manifest);

/* Layer, or entry of an index, by index from 0. False: no more. */
bool manifest_layer(const struct manifest *manifest, size_t index,
                    struct manifest_descriptor *out_layer);
bool manifest_entry(const struct manifest *manifest, size_t index,
                    struct manifest_descriptor *out_entry);

/* The sum of all layers. */
int64_t manifest_bytes(const struct manifest *manifest);

/* Whether it names a SOCI index of version 2, by the annotation that soci-snapshotter gives an
 * image and its entry in the index. One of version 1 is not in the manifest. */
bool manifest_has_soci_index(const struct manifest *manifest);

/* The entry of an index for this platform, an exact variant before others. False: none. */
bool manifest_choose(const struct manifest *manifest, const struct image_platform *wanted,
                     struct manifest_descriptor *out_entry);

/* "linux/amd64, linux/arm64": the platforms of an index, those of attestations left out. */
void manifest_platforms(const struct manifest *manifest, char *out, size_t room);

/* Platform, USER, EXPOSE, ENTRYPOINT and CMD of an image's configuration; the caller fills in
 * digest and size, and frees the facts. */
int manifest_read_config(const char *text, size_t length, struct image_facts *out_facts,
                         struct error *err) __attribute__((warn_unused_result));

#endif
