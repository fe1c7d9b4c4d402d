/* SPDX-License-Identifier: MIT */
/* Sources: API reference of Amazon ECR (BatchGetImage, GetDownloadUrlForLayer). Other registries
 * are not contacted: this machine may have neither a route nor a login. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/aws/failure.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"
#include "driver/commands/doctor/platforms.h"
#include "driver/registry/ecr_name.h"
#include "driver/registry/name.h"

#define CONFIG_CEILING_BYTES (1UL << 20) /* most have a few kilobytes */
#define DOWNLOAD_MS          20000
#define REMEDY_BYTES         1024
#define AMD64                "linux/amd64"
#define ARM64                "linux/arm64"

static const char *const media_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
};

struct look {
    struct doctor *doctor;
    const char *image; /* as the task definition names it */
    struct ecr_name name;
    const char *wanted; /* the platform of the task definition; NULL: not one of Berth's */
};

/* The platform of a task definition; NULL: Berth does not run on it. */
static const char *platform_of(const cJSON *definition)
{
    const char *system = json_text_at(definition, "runtimePlatform.operatingSystemFamily");
    const char *processor = json_text_at(definition, "runtimePlatform.cpuArchitecture");
    if (system != NULL && strcmp(system, "LINUX") != 0) {
        return NULL;
    }
    if (processor == NULL || strcmp(processor, "X86_64") == 0) {
        return AMD64;
    }
    return strcmp(processor, "ARM64") == 0 ? ARM64 : NULL;
}

static void report_not_checked(const struct look *look, const char *reason)
{
    doctor_report(look->doctor, DOCTOR_UNKNOWN, NULL, "image '%s' was not checked: %s", look->image,
                  reason);
}

/* The image exists, but its platform is not known. */
static void report_not_known(const struct look *look, const char *reason)
{
    doctor_report(look->doctor, DOCTOR_UNKNOWN, NULL,
                  "image '%s' exists, but its platform was not checked: %s", look->image, reason);
}

/* --- the platforms of an image --- */

static void report_wrong_platform(const struct look *look, const struct platforms *platforms)
{
    char built[256];
    char remedy[REMEDY_BYTES];
    const char *other = strcmp(look->wanted, AMD64) == 0 ? ARM64 : AMD64;
    const char *processor = strcmp(other, ARM64) == 0 ? "ARM64" : "X86_64";
    platforms_write(platforms, built, sizeof(built));
    (void)snprintf(remedy, sizeof(remedy), "build it with 'docker build --platform=%s' and push it",
                   look->wanted);
    if (platforms_have(platforms, other)) {
        size_t length = strlen(remedy);
        (void)snprintf(remedy + length, sizeof(remedy) - length,
                       ", or register the task definition with \"runtimePlatform\": "
                       "{\"cpuArchitecture\": \"%s\"}",
                       processor);
    }
    doctor_report(look->doctor, DOCTOR_FAIL, remedy,
                  "image '%s' is built for %s, and the task definition requires %s", look->image,
                  built[0] == '\0' ? "no known platform" : built, look->wanted);
}

static void judge_platforms(const struct look *look, const struct platforms *platforms)
{
    if (look->wanted == NULL) {
        report_not_known(look, "the task definition has a platform that Berth does not run on");
    } else if (platforms_have(platforms, look->wanted)) {
        doctor_report(look->doctor, DOCTOR_OK, NULL, "image '%s' exists, for %s", look->image,
                      look->wanted);
    } else if (platforms->open) {
        report_not_known(look, "it does not name its platform");
    } else {
        report_wrong_platform(look, platforms);
    }
}

/* --- the configuration of an image for one platform --- */

static cJSON *request_about(const struct look *look, bool *ok)
{
    cJSON *request = cJSON_CreateObject();
    json_text(request, "registryId", look->name.account, ok);
    json_text(request, "repositoryName", look->name.repository, ok);
    return request;
}

/* Deletes the request. */
static int ask(const struct look *look, const char *operation, cJSON *request, bool ok,
               cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
{
    int result = ok ? doctor_ecr(look->doctor, look->name.region, operation, request, out_answer,
                                 out_failure, err)
                    : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot look up the image");
    cJSON_Delete(request);
    return result;
}

static bool is_denied(const struct aws_failure *failure)
{
    return aws_meaning(failure->status, failure->code) == AWS_NOT_ALLOWED;
}

/* The blob is from another server: the manifest's digest proves it. */
static bool has_digest(const struct buffer *blob, const char *digest)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[2 * sizeof(hash) + 1];
    (void)crypto_hash_sha256(hash, (const unsigned char *)blob->bytes, blob->length);
    (void)sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
    return strcmp(strchr(digest, ':') + 1, text) == 0;
}

static cJSON *fetch_config(const struct look *look, const char *url, const char *digest,
                           struct error *err)
{
    cJSON *config = NULL;
    struct buffer blob cleanup_buffer;
    buffer_init(&blob, CONFIG_CEILING_BYTES);
    int64_t deadline_ms =
        clock_earlier_ms(look->doctor->deadline_ms, clock_deadline_ms(DOWNLOAD_MS));
    if (aws_download(look->doctor->client, url, deadline_ms, &blob, err) < 0) {
        (void)error_wrap(err, "its configuration cannot be fetched");
    } else if (blob.length == 0 || !has_digest(&blob, digest)) {
        (void)error_set(err, ERROR_PEER, 0, "the digest of its configuration does not match");
    } else if (!cJSON_IsObject(config = cJSON_ParseWithLength(blob.bytes, blob.length))) {
        (void)error_set(err, ERROR_PEER, 0, "its configuration is not a JSON object");
    }
    return config;
}

static void check_config(const struct look *look, const char *digest)
{
    struct aws_failure failure = {0};
    struct error err = {0};
    struct platforms platforms = {0};
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = request_about(look, &ok);
    json_text(request, "layerDigest", digest, &ok);
    if (ask(look, "GetDownloadUrlForLayer", request, ok, &answer, &failure, &err) < 0) {
        if (is_denied(&failure)) {
            doctor_report(look->doctor, DOCTOR_UNKNOWN, program_policy_hint(),
                          "image '%s' exists, but its platform was not checked: "
                          "ecr:GetDownloadUrlForLayer is not allowed",
                          look->image);
        } else {
            report_not_known(look, err.message);
        }
        return;
    }
    const char *url = json_text_at(answer, "downloadUrl");
    cJSON *config = url == NULL ? NULL : fetch_config(look, url, digest, &err);
    if (cJSON_IsObject(config)) {
        platforms_read_config(config, &platforms);
        judge_platforms(look, &platforms);
    } else {
        report_not_known(look, url == NULL ? "ECR returned no URL" : err.message);
    }
    cJSON_Delete(config);
    cJSON_Delete(answer);
}

/* --- whether the image exists --- */

static void check_manifest(const struct look *look, const char *text)
{
    struct platforms platforms = {0};
    cJSON *manifest = text == NULL ? NULL : cJSON_Parse(text);
    const char *digest = platforms_config_digest(manifest);
    if (platforms_read_index(manifest, &platforms)) {
        judge_platforms(look, &platforms);
    } else if (digest != NULL) {
        check_config(look, digest);
    } else {
        report_not_known(look, "its manifest has an unknown type");
    }
    cJSON_Delete(manifest);
}

static void report_no_image(const struct look *look)
{
    const struct ecr_name *name = &look->name;
    char remedy[REMEDY_BYTES];
    if (name->is_digest) {
        (void)snprintf(
            remedy, sizeof(remedy),
            "push it again to '%s', or name an existing tag or digest in the task definition",
            name->repository);
    } else {
        (void)snprintf(remedy, sizeof(remedy),
                       "push it: docker push %s; or name an existing tag in the task definition",
                       look->image);
    }
    doctor_report(look->doctor, DOCTOR_FAIL, remedy,
                  "there is no image '%s' in the ECR repository '%s' of account %s in %s",
                  name->tag, name->repository, name->account, name->region);
}

static void report_no_repository(const struct look *look)
{
    const struct ecr_name *name = &look->name;
    char remedy[REMEDY_BYTES];
    (void)snprintf(remedy, sizeof(remedy),
                   "create it (aws ecr create-repository --repository-name %s) and push the image, "
                   "or correct the image's name in the task definition",
                   name->repository);
    doctor_report(look->doctor, DOCTOR_FAIL, remedy,
                  "there is no ECR repository '%s' in account %s in %s", name->repository,
                  name->account, name->region);
}

/* An entry of BatchGetImage's 'failures'. */
static void judge_refusal(const struct look *look, const cJSON *refusal)
{
    static const char *const missing[] = {"ImageNotFound", "InvalidImageTag", "InvalidImageDigest"};
    char text[256];
    const char *code = json_text_at(refusal, "failureCode");
    const char *reason = json_text_at(refusal, "failureReason");
    for (size_t i = 0; code != NULL && i < sizeof(missing) / sizeof(missing[0]); i++) {
        if (strcmp(code, missing[i]) == 0) {
            report_no_image(look);
            return;
        }
    }
    (void)snprintf(text, sizeof(text), "ECR returned neither the image nor a reason");
    if (code != NULL) {
        (void)snprintf(text, sizeof(text), "ECR says %s%s%s", code, reason == NULL ? "" : ": ",
                       reason == NULL ? "" : reason);
    }
    report_not_checked(look, text);
}

static void judge_failure(const struct look *look, const struct aws_failure *failure,
                          const struct error *err)
{
    if (strcmp(failure->code, "RepositoryNotFoundException") == 0) {
        report_no_repository(look);
    } else if (is_denied(failure)) {
        doctor_report(look->doctor, DOCTOR_UNKNOWN, program_policy_hint(),
                      "image '%s' was not checked: ecr:BatchGetImage is not allowed", look->image);
    } else { /* the task may reach ECR by another route */
        report_not_checked(look, err->message);
    }
}

static void look_up(const struct look *look)
{
    struct aws_failure failure = {0};
    struct error err = {0};
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = request_about(look, &ok);
    cJSON *id = cJSON_CreateObject();
    json_text(id, look->name.is_digest ? "imageDigest" : "imageTag", look->name.tag, &ok);
    cJSON *ids = json_array(request, "imageIds", &ok);
    if (!cJSON_AddItemToArray(ids, id)) {
        cJSON_Delete(id);
        ok = false;
    }
    cJSON *types = json_array(request, "acceptedMediaTypes", &ok);
    for (size_t i = 0; i < sizeof(media_types) / sizeof(media_types[0]); i++) {
        json_append(types, media_types[i], &ok);
    }
    if (ask(look, "BatchGetImage", request, ok, &answer, &failure, &err) < 0) {
        judge_failure(look, &failure, &err);
        return;
    }
    const cJSON *image = cJSON_GetArrayItem(json_at(answer, "images"), 0);
    if (image != NULL) {
        check_manifest(look, json_text_at(image, "imageManifest"));
    } else {
        judge_refusal(look, cJSON_GetArrayItem(json_at(answer, "failures"), 0));
    }
    cJSON_Delete(answer);
}

void doctor_check_image(struct doctor *doctor, const cJSON *container)
{
    struct image_name name;
    struct look look = {.doctor = doctor,
                        .image = json_text_at(container, "image"),
                        .wanted = platform_of(doctor->definition)};
    if (look.image == NULL) {
        return;
    }
    if (image_name_parse(look.image, &name) < 0) {
        doctor_report(doctor, DOCTOR_FAIL, "name one as REPOSITORY:TAG in the task definition",
                      "'%s' is not a valid image name", look.image);
    } else if (ecr_name_parse(look.image, &look.name) < 0) {
        report_not_checked(&look, "it is not in ECR, and no other registry is contacted");
    } else {
        look_up(&look);
    }
}
