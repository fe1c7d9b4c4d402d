/* SPDX-License-Identifier: MIT */
/*
 * ecr_repository.h - pushes images to a repository of ECR through its JSON API, without Docker.
 *
 * An upload is begun, written in any pieces and finished; at most one part is in memory. A layer
 * that exists is not uploaded again (ecr_repository_has()), and a manifest that exists is success.
 * Errors of a missing permission name the IAM action and the repository (ERROR_USAGE). A failed
 * upload cannot be continued: 'may_retry' says whether a new one may succeed. Source:
 * API reference of Amazon ECR (CreateRepository, BatchCheckLayerAvailability, InitiateLayerUpload,
 * UploadLayerPart, CompleteLayerUpload, PutImage).
 */
#ifndef BERTH_DRIVER_REGISTRY_ECR_REPOSITORY_H
#define BERTH_DRIVER_REGISTRY_ECR_REPOSITORY_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/base/progress.h"
#include "driver/registry/digest.h"
#include "driver/registry/ecr_name.h"

#define ECR_URI_BYTES 400

/* Filled by ecr_repository_open(). */
struct ecr_repository {
    struct aws_client *client; /* not owned */
    char account[ECR_ACCOUNT_DIGITS + 1];
    char region[AWS_REGION_BYTES];
    char name[ECR_REPOSITORY_BYTES];
    char uri[ECR_URI_BYTES]; /* "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME" */
    bool is_new;             /* it was created */
};

struct ecr_upload {
    const struct ecr_repository *repository;
    char id[64];
    size_t part_bytes;
    struct buffer part;
    int64_t sent_bytes;
    crypto_hash_sha256_state hash;
    struct progress *progress; /* set by the caller, for a layer of 'size' bytes; NULL: none */
    int64_t size;
    bool may_retry;    /* after a failure */
    bool was_rejected; /* ECR or the digest says that its bytes are wrong or incomplete */
};

/* Finds the repository, or creates it in the caller's account. 'account' and 'region' NULL: the
 * caller's own. */
int ecr_repository_open(struct aws_client *client, const char *account, const char *region,
                        const char *name, int64_t deadline_ms, struct ecr_repository *out,
                        struct error *err) __attribute__((warn_unused_result));

/* The same without creating it: 1 if it exists, 0; -1: not known. */
int ecr_repository_exists(struct aws_client *client, const char *account, const char *region,
                          const char *name, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* Whether the name is one that ECR accepts. */
bool ecr_repository_name_is_valid(const char *name);

int ecr_repository_has(const struct ecr_repository *repository, const char *digest,
                       int64_t deadline_ms, bool *out_has, struct error *err)
    __attribute__((warn_unused_result));

/* ecr_upload_done() frees the upload, also after a failure. */
int ecr_upload_begin(const struct ecr_repository *repository, int64_t deadline_ms,
                     struct ecr_upload *out_upload, struct error *err)
    __attribute__((warn_unused_result));
int ecr_upload_write(struct ecr_upload *upload, const void *bytes, size_t length,
                     int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));
/* Fails if the bytes do not have this digest. */
int ecr_upload_finish(struct ecr_upload *upload, const char *digest, int64_t deadline_ms,
                      struct error *err) __attribute__((warn_unused_result));
void ecr_upload_done(struct ecr_upload *upload);

/* 'tag' NULL: by digest alone. Returns 0, or 1 if it was there already. */
int ecr_repository_put(const struct ecr_repository *repository, const char *manifest,
                       const char *type, const char *digest, const char *tag, int64_t deadline_ms,
                       struct error *err) __attribute__((warn_unused_result));

#endif
