/* SPDX-License-Identifier: MIT */
/*
 * push_agent.h - the parts of 'berth-driver push-agent'.
 *
 *   push_agent.c   the command: options, repository, both images, what to configure
 *   agent_image.c  the image of the agent, as bytes
 *   upload.c       layers and manifests of both images, with retries
 *   helper_copy.c  the copy of GitLab's helper image
 *
 * Nothing is written but to the repository; a second run with the same programs uploads nothing.
 */
#ifndef BERTH_DRIVER_COMMANDS_PUSH_AGENT_PUSH_AGENT_H
#define BERTH_DRIVER_COMMANDS_PUSH_AGENT_PUSH_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/registry/ecr_repository.h"

#define PUSH_PROCESSORS  2 /* amd64 and arm64 */
#define PUSH_TAG_BYTES   128
#define PUSH_LABEL_BYTES 96 /* "layer 2 of 7 (linux/amd64)" */

/* --- agent_image.c --- */

/* One processor's image. Its blobs are below 'layer_digest' and 'config_digest'. */
struct agent_image {
    const char *architecture; /* NULL: there is no agent for this processor */
    bool has_busybox;
    struct buffer layer, config, manifest;
    char layer_digest[DIGEST_BYTES], config_digest[DIGEST_BYTES], manifest_digest[DIGEST_BYTES];
};

struct agent_images {
    struct agent_image processors[PUSH_PROCESSORS]; /* amd64, arm64 */
    struct buffer index;                            /* empty with one processor alone */
    char index_digest[DIGEST_BYTES];
};

/* The same programs give the same bytes. agent_images_done() also after a failure. */
int agent_images_make(const struct config *config, struct agent_images *out_images,
                      struct error *err) __attribute__((warn_unused_result));
void agent_images_done(struct agent_images *images);

/* --- upload.c --- */

/* Where a layer comes from: writes it to the upload; -1 with 'err' and, if another attempt may
 * succeed, *out_retry. */
struct push_source {
    int (*read)(void *context, struct ecr_upload *upload, int64_t deadline_ms, bool *out_retry,
                struct error *err);
    void *context;
};

/* Uploads a layer or configuration unless it is there. 'label' is for progress lines. Attempts end
 * with success, a failure that is final, or the deadline. */
int push_blob(const struct ecr_repository *repository, struct signals *signals, const char *digest,
              int64_t size, const char *label, const struct push_source *source, struct error *err)
    __attribute__((warn_unused_result));
int push_bytes(const struct ecr_repository *repository, struct signals *signals, const char *digest,
               const struct buffer *bytes, const char *label, struct error *err)
    __attribute__((warn_unused_result));

/* 'tag' NULL: none. */
int push_manifest(const struct ecr_repository *repository, const struct buffer *manifest,
                  const char *type, const char *digest, const char *tag, struct error *err)
    __attribute__((warn_unused_result));

/* --- helper_copy.c --- */

/* Copies [Helper] Image to the repository, or with 'version' both of GitLab's images of that
 * version, as one index. Fills 'out_tag': "helper-v19.4.0". */
int helper_copy(const struct config *config, struct signals *signals, const char *version,
                const struct ecr_repository *repository, char out_tag[PUSH_TAG_BYTES],
                struct error *err) __attribute__((warn_unused_result));

#endif
