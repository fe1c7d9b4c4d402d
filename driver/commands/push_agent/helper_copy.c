/* SPDX-License-Identifier: MIT */
/* Layers, configurations and manifests are copied byte for byte, so their digests stay. A layer is
 * streamed: at most one part of an upload is in memory. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/helper_image.h"
#include "driver/base/json.h"
#include "driver/commands/push_agent/push_agent.h"
#include "driver/registry/auth.h"
#include "driver/registry/client.h"
#include "driver/registry/ecr_login.h"
#include "driver/registry/manifest.h"

#define DOCUMENT_MS   (60 * 1000)
#define STALL_MS      (60 * 1000)
#define TOTAL_BYTES   (64LL << 30) /* of one image, attempts included */
#define LAYER_BYTES   (8LL << 30)
#define ENTRY_CEILING 32 /* of an index */
#define DIGEST_SHOWN  12

struct copy {
    const struct config *config;
    struct signals *signals;
    const struct ecr_repository *repository;
    struct image_name name;
    struct registry_login *login;
    struct registry *registry;
    cJSON *entries; /* of an index over all that was copied; not owned */
};

/* One layer on its way. */
struct transfer {
    struct copy *copy;
    struct ecr_upload *upload;
    const char *digest;
    int64_t size, received, deadline_ms;
    struct error *err;
    bool failed; /* 'err' is filled */
};

/* --- the source --- */

/* 1 with a login in copy->login. */
static int find_login(struct copy *copy, const char *text, struct aws_client *client,
                      struct error *err)
{
    struct ecr_name ecr;
    if (ecr_name_parse(text, &ecr) == 0) {
        return ecr_login(client, ecr.region, clock_deadline_ms(DOCUMENT_MS), copy->login, err) < 0
                   ? -1
                   : 1;
    }
    return registry_auth_login(&copy->name, copy->signals, copy->login, err);
}

static int open_source(struct copy *copy, const char *text, struct error *err)
{
    if (image_name_parse(text, &copy->name) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%.200s' is not a valid image name", text);
    }
    copy->login = registry_login_new(err);
    int found = copy->login == NULL ? -1 : find_login(copy, text, copy->repository->client, err);
    if (found < 0) {
        return -1;
    }
    struct registry_options options = {
        .insecure = &copy->config->helper.insecure_registries,
        .login = found == 1 ? copy->login : NULL,
        .signals = copy->signals,
        .stall_ms = STALL_MS,
        .ceiling_bytes = TOTAL_BYTES,
    };
    copy->registry = registry_open(&copy->name, &options, err);
    return copy->registry == NULL ? -1 : 0;
}

static void close_source(struct copy *copy)
{
    registry_close(copy->registry);
    sodium_free(copy->login);
    copy->registry = NULL;
    copy->login = NULL;
}

static int status_error(const struct copy *copy, const char *what, int status, struct error *err)
{
    bool refused = status == 401 || status == 403;
    (void)error_set(err, status == 404 || refused ? ERROR_USAGE : ERROR_SYSTEM, 0,
                    "'%s' answers HTTP %d for %s of '%s'", registry_host(copy->registry), status,
                    what, copy->name.repository);
    return refused ? error_hint(err, "log in with 'docker login %s'", copy->name.registry) : -1;
}

/* --- layers --- */

static int on_bytes(void *context, const char *bytes, size_t length)
{
    struct transfer *transfer = context;
    transfer->received += (int64_t)length;
    if (transfer->received > transfer->size) {
        (void)error_set(transfer->err, ERROR_PEER, 0, "the registry sent more than %lld bytes",
                        (long long)transfer->size);
        transfer->failed = true;
        return -1;
    }
    if (ecr_upload_write(transfer->upload, bytes, length, transfer->deadline_ms, transfer->err) <
        0) {
        transfer->failed = true;
        return -1;
    }
    return 0;
}

static int stream(void *context, struct ecr_upload *upload, int64_t deadline_ms, bool *out_retry,
                  struct error *err)
{
    struct transfer *transfer = context;
    struct copy *copy = transfer->copy;
    struct registry_answer answer = {.status = 0};
    struct error own = {0};
    transfer->upload = upload;
    transfer->received = 0;
    transfer->deadline_ms = deadline_ms;
    transfer->err = err;
    transfer->failed = false;
    registry_set_deadline(copy->registry, deadline_ms);
    int result =
        registry_get_blob(copy->registry, transfer->digest, on_bytes, transfer, &answer, &own);
    if (result < 0 && !transfer->failed) {
        *err = own;
        *out_retry = own.errnum != EINTR;
    } else if (result == 0 && answer.status != 200) {
        *out_retry = answer.status == 429 || answer.status >= 500;
        result = status_error(copy, "a layer", answer.status, err);
    } else if (result == 0 && transfer->received < transfer->size) {
        *out_retry = true;
        result = error_set(err, ERROR_PEER, 0, "the registry sent %lld of %lld bytes",
                           (long long)transfer->received, (long long)transfer->size);
    }
    buffer_done(&answer.body);
    return result;
}

/* Layers that may not be distributed are not in registries; linux images have none. */
static bool is_elsewhere(const char *type)
{
    return strstr(type, "nondistributable") != NULL || strstr(type, "foreign") != NULL;
}

static int copy_layer(struct copy *copy, const struct manifest_descriptor *layer, const char *label,
                      struct error *err)
{
    struct transfer transfer = {.copy = copy, .digest = layer->digest, .size = layer->size};
    struct push_source source = {.read = stream, .context = &transfer};
    if (is_elsewhere(layer->type)) {
        return 0;
    }
    if (layer->size > LAYER_BYTES) {
        return error_set(err, ERROR_LIMIT, 0, "%s has more than %lld bytes", label,
                         (long long)LAYER_BYTES);
    }
    return push_blob(copy->repository, copy->signals, layer->digest, layer->size, label, &source,
                     err);
}

/* --- documents --- */

/* GET of a manifest, whose digest is checked and returned. */
static int get_manifest(struct copy *copy, const char *reference, struct registry_answer *answer,
                        struct manifest *out_manifest, char digest[DIGEST_BYTES], struct error *err)
{
    registry_set_deadline(copy->registry, clock_deadline_ms(DOCUMENT_MS));
    if (registry_get_manifest(copy->registry, reference, answer, err) < 0) {
        return -1;
    }
    if (answer->status != 200) {
        return status_error(copy, "the manifest", answer->status, err);
    }
    const char *bytes = answer->body.bytes == NULL ? "" : answer->body.bytes;
    digest_of(bytes, answer->body.length, digest);
    if (digest_is_valid(reference) && !digest_matches(reference, bytes, answer->body.length)) {
        return error_set(err, ERROR_PEER, 0, "'%s' sent content of another digest",
                         registry_host(copy->registry));
    }
    return manifest_parse(bytes, answer->body.length, answer->type, out_manifest, err);
}

/* Adds the manifest to the index over all. */
static int note_entry(const struct copy *copy, const struct manifest *manifest, const char *digest,
                      size_t length, const struct image_platform *platform, struct error *err)
{
    bool ok = true;
    if (copy->entries == NULL) {
        return 0;
    }
    cJSON *entry = cJSON_CreateObject();
    json_text(entry, "mediaType", manifest->type, &ok);
    json_text(entry, "digest", digest, &ok);
    json_number(entry, "size", (int64_t)length, &ok);
    cJSON *object = json_object(entry, "platform", &ok);
    json_text(object, "architecture", platform->architecture, &ok);
    json_text(object, "os", platform->os, &ok);
    if (platform->variant[0] != '\0') {
        json_text(object, "variant", platform->variant, &ok);
    }
    if (!ok || !cJSON_AddItemToArray(copy->entries, entry)) {
        cJSON_Delete(entry);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write an index");
    }
    return 0;
}

static int copy_config(struct copy *copy, const struct manifest *manifest, const char *label,
                       struct image_platform *out_platform, struct error *err)
{
    struct manifest_descriptor config = manifest_config(manifest);
    struct registry_answer answer = {.status = 0};
    struct image_facts facts = {0};
    struct error ignored;
    registry_set_deadline(copy->registry, clock_deadline_ms(DOCUMENT_MS));
    int result = registry_get_blob(copy->registry, config.digest, NULL, NULL, &answer, err);
    if (result == 0 && answer.status != 200) {
        result = status_error(copy, "the configuration", answer.status, err);
    }
    if (result == 0) {
        result =
            push_bytes(copy->repository, copy->signals, config.digest, &answer.body, label, err);
    }
    /* Attestations have a configuration without a platform. */
    if (result == 0 &&
        manifest_read_config(answer.body.bytes, answer.body.length, &facts, &ignored) == 0) {
        *out_platform = facts.platform;
    }
    image_facts_done(&facts);
    buffer_done(&answer.body);
    return result;
}

static int copy_image(struct copy *copy, const struct manifest *manifest,
                      const struct buffer *document, const char *digest, const char *tag,
                      struct error *err)
{
    struct manifest_descriptor layer;
    struct image_platform platform = {.os = "linux"};
    char label[PUSH_LABEL_BYTES];
    size_t count = 0;
    while (manifest_layer(manifest, count, &layer)) {
        count++;
    }
    for (size_t i = 0; manifest_layer(manifest, i, &layer); i++) {
        (void)snprintf(label, sizeof(label), "layer %zu of %zu of %.19s", i + 1, count, digest);
        if (copy_layer(copy, &layer, label, err) < 0) {
            return -1;
        }
    }
    (void)snprintf(label, sizeof(label), "configuration of %.19s", digest);
    if (copy_config(copy, manifest, label, &platform, err) < 0 ||
        note_entry(copy, manifest, digest, document->length, &platform, err) < 0) {
        return -1;
    }
    return push_manifest(copy->repository, document, manifest->type, digest, tag, err);
}

/* A manifest that is not an index, by digest. */
static int copy_entry(struct copy *copy, const char *reference, struct error *err)
{
    struct registry_answer answer = {.status = 0};
    struct manifest manifest = {.root = NULL};
    char digest[DIGEST_BYTES];
    int result = get_manifest(copy, reference, &answer, &manifest, digest, err);
    if (result == 0 && manifest.is_index) {
        result = error_set(err, ERROR_PEER, 0, "the image is an index within an index");
    } else if (result == 0) {
        result = copy_image(copy, &manifest, &answer.body, digest, NULL, err);
    }
    manifest_done(&manifest);
    buffer_done(&answer.body);
    return result;
}

static int copy_entries(struct copy *copy, const struct manifest *index, struct error *err)
{
    struct manifest_descriptor entry;
    if (manifest_entry(index, ENTRY_CEILING, &entry)) {
        return error_set(err, ERROR_LIMIT, 0, "the image has more than %d entries", ENTRY_CEILING);
    }
    for (size_t i = 0; manifest_entry(index, i, &entry); i++) {
        if (copy_entry(copy, entry.digest, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What the name refers to. 'tag' NULL: the index over all gets it. */
static int copy_name(struct copy *copy, const char *tag, struct error *err)
{
    struct registry_answer answer = {.status = 0};
    struct manifest manifest = {.root = NULL};
    char digest[DIGEST_BYTES];
    int result = get_manifest(copy, copy->name.tag, &answer, &manifest, digest, err);
    if (result == 0 && manifest.is_index) {
        result = copy_entries(copy, &manifest, err);
        if (result == 0 && tag != NULL) {
            result = push_manifest(copy->repository, &answer.body, manifest.type, digest, tag, err);
        }
    } else if (result == 0) {
        result = copy_image(copy, &manifest, &answer.body, digest, tag, err);
    }
    manifest_done(&manifest);
    buffer_done(&answer.body);
    return result;
}

/* --- the two ways --- */

static int copy_configured(struct copy *copy, char out_tag[PUSH_TAG_BYTES], struct error *err)
{
    const char *image = copy->config->helper.image;
    if (strchr(image, '$') != NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "[Helper] Image '%.200s' has a variable", image);
        return error_hint(err, "add --runner-version to copy GitLab's image of that version");
    }
    if (open_source(copy, image, err) < 0) {
        return -1;
    }
    const char *tag = copy->name.tag;
    if (digest_is_valid(tag)) {
        (void)snprintf(out_tag, PUSH_TAG_BYTES, "helper-%.*s", DIGEST_SHOWN, strchr(tag, ':') + 1);
    } else {
        (void)snprintf(out_tag, PUSH_TAG_BYTES, "helper-%.120s", tag);
    }
    log_info("copying '%s'", image);
    return copy_name(copy, out_tag, err);
}

static int push_index(const struct copy *copy, cJSON *entries, const char *tag, struct error *err)
{
    bool ok = true;
    char digest[DIGEST_BYTES];
    struct buffer text;
    buffer_init(&text, MANIFEST_CEILING_BYTES);
    cJSON *root = cJSON_CreateObject();
    json_number(root, "schemaVersion", 2, &ok);
    json_text(root, "mediaType", MANIFEST_OCI_INDEX, &ok);
    cJSON *copied = cJSON_Duplicate(entries, true);
    ok = ok && copied != NULL && cJSON_AddItemToObject(root, "manifests", copied);
    char *printed = ok ? cJSON_PrintUnformatted(root) : NULL;
    int result = printed != NULL && buffer_append_text(&text, printed) == 0
                     ? 0
                     : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write an index");
    if (result == 0) {
        digest_of(text.bytes, text.length, digest);
        result = push_manifest(copy->repository, &text, MANIFEST_OCI_INDEX, digest, tag, err);
    }
    cJSON_free(printed);
    cJSON_Delete(root);
    buffer_done(&text);
    return result;
}

static int copy_version(struct copy *copy, const char *version, char out_tag[PUSH_TAG_BYTES],
                        struct error *err)
{
    static const char *const processors[] = {"amd64", "arm64"};
    char name[HELPER_IMAGE_BYTES];
    if (!helper_image_is_version(version)) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.40s' is not a version of GitLab Runner", version);
        return error_hint(err, "use N.N.N, such as 19.4.0");
    }
    cJSON *entries = cJSON_CreateArray();
    copy->entries = entries;
    int result = 0;
    for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]) && result == 0; i++) {
        result = helper_image_published(version, processors[i], name, err);
        if (result == 0) {
            log_info("copying '%s'", name);
            result = open_source(copy, name, err);
        }
        result = result == 0 ? copy_name(copy, NULL, err) : result;
        close_source(copy);
    }
    (void)snprintf(out_tag, PUSH_TAG_BYTES, "helper-v%s", version);
    result = result == 0 ? push_index(copy, entries, out_tag, err) : result;
    cJSON_Delete(entries);
    return result;
}

int helper_copy(const struct config *config, struct signals *signals, const char *version,
                const struct ecr_repository *repository, char out_tag[PUSH_TAG_BYTES],
                struct error *err)
{
    struct copy copy = {.config = config, .signals = signals, .repository = repository};
    int result = version != NULL ? copy_version(&copy, version, out_tag, err)
                                 : copy_configured(&copy, out_tag, err);
    close_source(&copy);
    return result;
}
