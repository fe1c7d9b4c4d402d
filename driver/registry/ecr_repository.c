/* SPDX-License-Identifier: MIT */
#include "driver/registry/ecr_repository.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/json.h"

#define PART_LEAST_BYTES (5UL << 20)  /* of every part but the last */
#define PART_MOST_BYTES  (20UL << 20) /* 20971520 */
#define PART_BYTES       PART_LEAST_BYTES

/* The IAM action of each operation has its name. */
static int explain(const struct ecr_repository *repository, const char *operation,
                   const struct aws_failure *failure, struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    if (strcmp(failure->code, "AccessDeniedException") == 0 ||
        strcmp(failure->code, "AccessDenied") == 0) {
        (void)snprintf(text, sizeof(text), "%s", err->message);
        (void)error_set(err, ERROR_USAGE, 0,
                        "ecr:%s is not allowed on the repository '%s' (%.300s)", operation,
                        repository->name, text);
        return error_hint(err, "allow ecr:%s on arn:%s:ecr:%s:%s:repository/%s", operation,
                          aws_partition(repository->region), repository->region,
                          repository->account[0] == '\0' ? "ACCOUNT" : repository->account,
                          repository->name);
    }
    return -1;
}

/* 'request' is freed. */
static int call(const struct ecr_repository *repository, const char *operation, cJSON *request,
                bool ok, int64_t deadline_ms, cJSON **out_answer, struct aws_failure *failure,
                struct error *err)
{
    *failure = (struct aws_failure){0};
    int result = ok && request != NULL
                     ? aws_ecr(repository->client, repository->region, operation, request,
                               deadline_ms, out_answer, failure, err)
                     : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write a request to ECR");
    cJSON_Delete(request);
    return result < 0 ? explain(repository, operation, failure, err) : 0;
}

static cJSON *request_about(const struct ecr_repository *repository, bool *ok)
{
    cJSON *request = cJSON_CreateObject();
    if (repository->account[0] != '\0') {
        json_text(request, "registryId", repository->account, ok);
    }
    json_text(request, "repositoryName", repository->name, ok);
    return request;
}

/* --- the repository --- */

bool ecr_repository_name_is_valid(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t length = strlen(name);
    bool after_plain = false;
    for (size_t i = 0; i < length; i++) {
        bool is_plain = strchr(plain, name[i]) != NULL;
        bool repeats = i > 0 && name[i] == name[i - 1] && (name[i] == '-' || name[i] == '_');
        if (!is_plain && (strchr("._-/", name[i]) == NULL || (!after_plain && !repeats))) {
            return false;
        }
        after_plain = is_plain;
    }
    return length >= 2 && length <= 256 && after_plain;
}

static int read_repository(struct ecr_repository *repository, const cJSON *json, struct error *err)
{
    const char *uri = json_text_at(json, "repositoryUri");
    const char *account = json_text_at(json, "registryId");
    if (uri == NULL || account == NULL || strlen(uri) >= sizeof(repository->uri) ||
        strlen(account) >= sizeof(repository->account)) {
        return error_set(err, ERROR_PEER, 0, "ECR returned no address of the repository '%s'",
                         repository->name);
    }
    (void)snprintf(repository->uri, sizeof(repository->uri), "%s", uri);
    (void)snprintf(repository->account, sizeof(repository->account), "%s", account);
    return 0;
}

static int find_account(struct aws_client *client, int64_t deadline_ms,
                        char out[ECR_ACCOUNT_DIGITS + 1], struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    if (aws_query(client, AWS_STS, "GetCallerIdentity", NULL, deadline_ms, &answer, &failure, err) <
        0) {
        return -1;
    }
    const char *account = json_text_at(answer, "GetCallerIdentityResult.Account");
    int wrote = snprintf(out, ECR_ACCOUNT_DIGITS + 1, "%s", account == NULL ? "" : account);
    cJSON_Delete(answer);
    return wrote == ECR_ACCOUNT_DIGITS
               ? 0
               : error_set(err, ERROR_PEER, 0, "GetCallerIdentity returned no account");
}

static int create(struct ecr_repository *repository, int64_t deadline_ms, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = request_about(repository, &ok);
    int result =
        call(repository, "CreateRepository", request, ok, deadline_ms, &answer, &failure, err);
    if (result == 0) {
        repository->is_new = true;
        result = read_repository(repository, json_at(answer, "repository"), err);
    }
    cJSON_Delete(answer);
    return result;
}

/* 1: found, 0: there is none. */
static int describe(struct ecr_repository *repository, int64_t deadline_ms, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    json_text(request, "registryId", repository->account, &ok);
    json_append(json_array(request, "repositoryNames", &ok), repository->name, &ok);
    int result =
        call(repository, "DescribeRepositories", request, ok, deadline_ms, &answer, &failure, err);
    if (result < 0) {
        return strcmp(failure.code, "RepositoryNotFoundException") == 0 ? 0 : -1;
    }
    result =
        read_repository(repository, cJSON_GetArrayItem(json_at(answer, "repositories"), 0), err);
    cJSON_Delete(answer);
    return result < 0 ? -1 : 1;
}

/* What is known before a call of ECR; 'out_own': the caller's account. */
static int init(struct ecr_repository *repository, const char *account, const char *region,
                const char *name, int64_t deadline_ms, char out_own[ECR_ACCOUNT_DIGITS + 1],
                struct error *err)
{
    if (find_account(repository->client, deadline_ms, out_own, err) < 0) {
        return -1;
    }
    (void)snprintf(repository->name, sizeof(repository->name), "%s", name);
    (void)snprintf(repository->account, sizeof(repository->account), "%s",
                   account == NULL ? out_own : account);
    (void)snprintf(repository->region, sizeof(repository->region), "%s",
                   region == NULL ? aws_client_region(repository->client) : region);
    return 0;
}

int ecr_repository_exists(struct aws_client *client, const char *account, const char *region,
                          const char *name, int64_t deadline_ms, struct error *err)
{
    struct ecr_repository repository = {.client = client};
    char own[ECR_ACCOUNT_DIGITS + 1];
    return init(&repository, account, region, name, deadline_ms, own, err) < 0
               ? -1
               : describe(&repository, deadline_ms, err);
}

int ecr_repository_open(struct aws_client *client, const char *account, const char *region,
                        const char *name, int64_t deadline_ms, struct ecr_repository *out,
                        struct error *err)
{
    struct ecr_repository repository = {.client = client};
    char own[ECR_ACCOUNT_DIGITS + 1];
    if (init(&repository, account, region, name, deadline_ms, own, err) < 0) {
        return -1;
    }
    bool foreign = strcmp(repository.account, own) != 0;
    int found = describe(&repository, deadline_ms, err);
    if (found == 0 && foreign) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "the account %s has no repository '%s' in '%s', and these credentials are "
                        "of the account %s",
                        repository.account, name, repository.region, own);
        return error_hint(err, "create it there, or name one of the account %s", own);
    }
    if (found < 0) {
        return foreign
                   ? error_wrap(err, "repository '%s' of the account %s", name, repository.account)
                   : -1;
    }
    if (found == 0 && create(&repository, deadline_ms, err) < 0) {
        return -1;
    }
    *out = repository;
    return 0;
}

int ecr_repository_has(const struct ecr_repository *repository, const char *digest,
                       int64_t deadline_ms, bool *out_has, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = request_about(repository, &ok);
    json_append(json_array(request, "layerDigests", &ok), digest, &ok);
    if (call(repository, "BatchCheckLayerAvailability", request, ok, deadline_ms, &answer, &failure,
             err) < 0) {
        return -1;
    }
    const cJSON *layer = cJSON_GetArrayItem(json_at(answer, "layers"), 0);
    *out_has = strcmp(json_text_or_empty(layer, "layerAvailability"), "AVAILABLE") == 0 &&
               strcmp(json_text_or_empty(layer, "layerDigest"), digest) == 0;
    cJSON_Delete(answer);
    return 0;
}

/* --- layers --- */

/* A failure after which a new upload may succeed. */
static int upload_failed(struct ecr_upload *upload, const struct aws_failure *failure,
                         const struct error *err)
{
    static const char *const restart[] = {"InvalidLayerPartException", "UploadNotFoundException",
                                          "InvalidLayerException"};
    upload->may_retry = !failure->permanent && err->errnum != EINTR;
    for (size_t i = 0; i < sizeof(restart) / sizeof(restart[0]); i++) {
        upload->was_rejected = upload->was_rejected || strcmp(failure->code, restart[i]) == 0;
    }
    upload->may_retry = upload->may_retry || upload->was_rejected;
    return -1;
}

int ecr_upload_begin(const struct ecr_repository *repository, int64_t deadline_ms,
                     struct ecr_upload *out_upload, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    *out_upload = (struct ecr_upload){.repository = repository};
    (void)crypto_hash_sha256_init(&out_upload->hash);
    buffer_init(&out_upload->part, PART_MOST_BYTES);
    cJSON *request = request_about(repository, &ok);
    if (call(repository, "InitiateLayerUpload", request, ok, deadline_ms, &answer, &failure, err) <
        0) {
        return upload_failed(out_upload, &failure, err);
    }
    int64_t wanted = json_number_at(answer, "partSize");
    int wrote = snprintf(out_upload->id, sizeof(out_upload->id), "%s",
                         json_text_or_empty(answer, "uploadId"));
    cJSON_Delete(answer);
    out_upload->part_bytes =
        wanted > 0 && wanted < (int64_t)PART_BYTES ? (size_t)wanted : PART_BYTES;
    return wrote > 0 && (size_t)wrote < sizeof(out_upload->id)
               ? 0
               : error_set(err, ERROR_PEER, 0, "ecr InitiateLayerUpload: no valid upload id");
}

/* The part in base64, as a reference into 'text', so that it is not copied again. */
static cJSON *part_request(const struct ecr_upload *upload, const char *text)
{
    bool ok = true;
    cJSON *request = request_about(upload->repository, &ok);
    json_text(request, "uploadId", upload->id, &ok);
    json_number(request, "partFirstByte", upload->sent_bytes, &ok);
    json_number(request, "partLastByte", upload->sent_bytes + (int64_t)upload->part.length - 1,
                &ok);
    cJSON *blob = cJSON_CreateStringReference(text);
    if (!ok || blob == NULL || !cJSON_AddItemToObject(request, "layerPartBlob", blob)) {
        cJSON_Delete(blob);
        cJSON_Delete(request);
        return NULL;
    }
    return request;
}

static int send_part(struct ecr_upload *upload, int64_t deadline_ms, struct error *err)
{
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    const struct buffer *part = &upload->part;
    size_t room = sodium_base64_ENCODED_LEN(part->length, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(room);
    if (text == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot send a part of a layer");
    }
    (void)sodium_bin2base64(text, room, (const unsigned char *)part->bytes, part->length,
                            sodium_base64_VARIANT_ORIGINAL);
    int result = call(upload->repository, "UploadLayerPart", part_request(upload, text), true,
                      deadline_ms, &answer, &failure, err);
    free(text);
    cJSON_Delete(answer);
    if (result < 0) {
        return upload_failed(upload, &failure, err);
    }
    upload->sent_bytes += (int64_t)part->length;
    buffer_clear(&upload->part);
    return 0;
}

static void show_progress(const struct ecr_upload *upload)
{
    struct progress_state state = {.bytes = upload->sent_bytes + (int64_t)upload->part.length,
                                   .of_bytes = upload->size};
    if (upload->progress != NULL && upload->size > 0) {
        state.part = (double)state.bytes / (double)upload->size;
        progress_update(upload->progress, &state);
    }
}

int ecr_upload_write(struct ecr_upload *upload, const void *bytes, size_t length,
                     int64_t deadline_ms, struct error *err)
{
    const char *at = bytes;
    (void)crypto_hash_sha256_update(&upload->hash, bytes, length);
    while (length > 0) {
        size_t room = upload->part_bytes - upload->part.length;
        size_t taken = length < room ? length : room;
        if (buffer_append(&upload->part, at, taken) < 0) {
            return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot hold a part of a layer");
        }
        at += taken;
        length -= taken;
        show_progress(upload);
        /* The last part is sent by ecr_upload_finish(). */
        if (upload->part.length == upload->part_bytes && send_part(upload, deadline_ms, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int ecr_upload_finish(struct ecr_upload *upload, const char *digest, int64_t deadline_ms,
                      struct error *err)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[2 * sizeof(hash) + 1];
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    bool ok = true;
    (void)crypto_hash_sha256_final(&upload->hash, hash);
    (void)sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
    if (strncmp(digest, "sha256:", 7) != 0 || strcmp(digest + 7, text) != 0) {
        upload->may_retry = true; /* it may have been damaged on the way */
        upload->was_rejected = true;
        return error_set(err, ERROR_PEER, 0, "the layer %s has the digest sha256:%s", digest, text);
    }
    if (upload->part.length > 0 && send_part(upload, deadline_ms, err) < 0) {
        return -1;
    }
    cJSON *request = request_about(upload->repository, &ok);
    json_text(request, "uploadId", upload->id, &ok);
    json_append(json_array(request, "layerDigests", &ok), digest, &ok);
    int result = call(upload->repository, "CompleteLayerUpload", request, ok, deadline_ms, &answer,
                      &failure, err);
    cJSON_Delete(answer);
    if (result < 0 && strcmp(failure.code, "LayerAlreadyExistsException") != 0) {
        return upload_failed(upload, &failure, err);
    }
    return 0;
}

void ecr_upload_done(struct ecr_upload *upload)
{
    buffer_done(&upload->part);
}

/* --- manifests --- */

int ecr_repository_put(const struct ecr_repository *repository, const char *manifest,
                       const char *type, const char *digest, const char *tag, int64_t deadline_ms,
                       struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = request_about(repository, &ok);
    json_text(request, "imageManifest", manifest, &ok);
    json_text(request, "imageManifestMediaType", type, &ok);
    json_text(request, "imageDigest", digest, &ok);
    if (tag != NULL) {
        json_text(request, "imageTag", tag, &ok);
    }
    int result = call(repository, "PutImage", request, ok, deadline_ms, &answer, &failure, err);
    cJSON_Delete(answer);
    if (result == 0) {
        return 0;
    }
    if (strcmp(failure.code, "ImageAlreadyExistsException") == 0) {
        return 1;
    }
    if (strcmp(failure.code, "ImageTagAlreadyExistsException") == 0) {
        err->kind = ERROR_USAGE;
        return error_hint(err,
                          "the repository's tags are immutable; remove the tag '%s', or name "
                          "another repository",
                          tag == NULL ? "" : tag);
    }
    return -1;
}
