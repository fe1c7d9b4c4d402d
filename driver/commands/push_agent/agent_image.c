/* SPDX-License-Identifier: MIT */
/* Formats: OCI image-spec 1.1. The layer is not compressed: the programs are few MiB, and the same
 * bytes are the same digest whatever library compresses them. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "driver/backend/elf_file.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/tar.h"
#include "driver/base/json.h"
#include "driver/commands/push_agent/push_agent.h"
#include "driver/registry/manifest.h"

#define PROGRAM_CEILING_BYTES (64UL << 20)
#define LAYER_CEILING_BYTES   (160UL << 20)
#define DOCUMENT_BYTES        (64UL << 10)
#define CONFIG_TYPE           "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE            "application/vnd.oci.image.layer.v1.tar"

#if defined(__x86_64__)
#define OWN 0
#elif defined(__aarch64__)
#define OWN 1
#else
#error "add this processor"
#endif

static const struct processor {
    const char *architecture; /* Docker's name */
    const char *machine;      /* the kernel's name, in file names */
} processors[PUSH_PROCESSORS] = {{"amd64", "x86_64"}, {"arm64", "aarch64"}};

/* --- the programs --- */

/* Reads a static program for the processor. False: it is not one, or cannot be read. */
static bool read_program(const char *path, const struct processor *processor, struct buffer *out)
{
    struct error err = {0};
    struct elf_file program;
    buffer_clear(out);
    bool fits = fd_read_file(path, out, &err) == 0 &&
                elf_file_read(out->bytes, out->length, &program) == 0 && program.is_static &&
                strcmp(program.processor, processor->architecture) == 0;
    if (!fits) {
        buffer_clear(out);
        log_debug("'%s' is not a static program for %s%s%s", path, processor->architecture,
                  err.message[0] == '\0' ? "" : ": ", err.message);
    }
    return fits;
}

/* "NAME-MACHINE" beside this program, or in ../lib/berth. */
static bool find_beside(const char *name, const struct processor *processor, struct buffer *out)
{
    static const char *const places[] = {"", "../lib/berth/"};
    char own[PATH_MAX];
    char path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (length <= 0) {
        return false;
    }
    own[length] = '\0';
    char *slash = strrchr(own, '/');
    if (slash == NULL) {
        return false;
    }
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s%s-%s", own, places[i], name, processor->machine);
        if (access(path, R_OK) == 0 && read_program(path, processor, out)) {
            return true;
        }
    }
    return false;
}

static bool find_agent(const struct config *config, const struct processor *processor,
                       struct buffer *out)
{
    const char *const configured[] = {config->docker.agent, config->local_agent};
    for (size_t i = 0; i < sizeof(configured) / sizeof(configured[0]); i++) {
        if (configured[i] != NULL && read_program(configured[i], processor, out)) {
            return true;
        }
    }
    if (find_beside("berth-agent", processor, out)) {
        return true;
    }
    const void *embedded = NULL;
    size_t length = embedded_agent_bytes(&embedded);
    return processor == &processors[OWN] && buffer_append(out, embedded, length) == 0;
}

static bool uses_busybox(const struct config *config)
{
    return config->helper.busybox != NULL && strcmp(config->helper.busybox, "none") != 0;
}

static bool find_busybox(const struct config *config, const struct processor *processor,
                         struct buffer *out)
{
    return uses_busybox(config) && (read_program(config->helper.busybox, processor, out) ||
                                    find_beside("busybox", processor, out));
}

/* --- the documents --- */

static int print(cJSON *root, bool ok, struct buffer *out, char digest[DIGEST_BYTES],
                 struct error *err)
{
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    buffer_init(out, DOCUMENT_BYTES);
    int result = text != NULL && buffer_append_text(out, text) == 0
                     ? 0
                     : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the image");
    cJSON_free(text);
    if (result == 0) {
        digest_of(out->bytes, out->length, digest);
    }
    return result;
}

static cJSON *describe(cJSON *object, const char *type, const char *digest, size_t size, bool *ok)
{
    json_text(object, "mediaType", type, ok);
    json_text(object, "digest", digest, ok);
    json_number(object, "size", (int64_t)size, ok);
    return object;
}

/* One more entry of an array. */
static cJSON *append_object(cJSON *array, bool *ok)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        *ok = false;
        return NULL;
    }
    return object;
}

static int make_config(struct agent_image *image, struct error *err)
{
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    json_text(root, "architecture", image->architecture, &ok);
    json_text(root, "os", "linux", &ok);
    cJSON *config = json_object(root, "config", &ok);
    json_append(json_array(config, "Entrypoint", &ok), "/berth-agent", &ok);
    cJSON *labels = json_object(config, "Labels", &ok);
    json_text(labels, "org.opencontainers.image.title", "berth-agent", &ok);
    json_text(labels, "org.opencontainers.image.description",
              "Places the agent in ECS tasks with generated task definitions", &ok);
    json_text(labels, "org.opencontainers.image.version", BERTH_VERSION, &ok);
    json_text(labels, "org.opencontainers.image.licenses",
              image->has_busybox ? "MIT AND GPL-2.0-only" : "MIT", &ok);
    cJSON *rootfs = json_object(root, "rootfs", &ok);
    json_text(rootfs, "type", "layers", &ok);
    json_append(json_array(rootfs, "diff_ids", &ok), image->layer_digest, &ok);
    return print(root, ok, &image->config, image->config_digest, err);
}

static int make_manifest(struct agent_image *image, struct error *err)
{
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    json_number(root, "schemaVersion", 2, &ok);
    json_text(root, "mediaType", MANIFEST_OCI, &ok);
    (void)describe(json_object(root, "config", &ok), CONFIG_TYPE, image->config_digest,
                   image->config.length, &ok);
    (void)describe(append_object(json_array(root, "layers", &ok), &ok), LAYER_TYPE,
                   image->layer_digest, image->layer.length, &ok);
    return print(root, ok, &image->manifest, image->manifest_digest, err);
}

static int make_layer(struct agent_image *image, const struct buffer *agent,
                      const struct buffer *busybox, struct error *err)
{
    buffer_init(&image->layer, LAYER_CEILING_BYTES);
    if (tar_file(&image->layer, "berth-agent", 0755, agent->bytes, agent->length) < 0 ||
        (image->has_busybox &&
         tar_file(&image->layer, "busybox", 0755, busybox->bytes, busybox->length) < 0) ||
        tar_end(&image->layer) < 0) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the image");
    }
    digest_of(image->layer.bytes, image->layer.length, image->layer_digest);
    return 0;
}

static int make_image(const struct config *config, const struct processor *processor,
                      struct agent_image *image, struct error *err)
{
    struct buffer agent;
    struct buffer busybox;
    int result = 0;
    buffer_init(&agent, PROGRAM_CEILING_BYTES);
    buffer_init(&busybox, PROGRAM_CEILING_BYTES);
    if (find_agent(config, processor, &agent)) {
        image->architecture = processor->architecture;
        image->has_busybox = find_busybox(config, processor, &busybox);
        result = make_layer(image, &agent, &busybox, err);
        result = result == 0 ? make_config(image, err) : result;
        result = result == 0 ? make_manifest(image, err) : result;
    }
    buffer_done(&agent);
    buffer_done(&busybox);
    return result;
}

static int make_index(struct agent_images *images, struct error *err)
{
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    json_number(root, "schemaVersion", 2, &ok);
    json_text(root, "mediaType", MANIFEST_OCI_INDEX, &ok);
    cJSON *entries = json_array(root, "manifests", &ok);
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        const struct agent_image *image = &images->processors[i];
        cJSON *entry = describe(append_object(entries, &ok), MANIFEST_OCI, image->manifest_digest,
                                image->manifest.length, &ok);
        cJSON *platform = json_object(entry, "platform", &ok);
        json_text(platform, "architecture", image->architecture, &ok);
        json_text(platform, "os", "linux", &ok);
    }
    return print(root, ok, &images->index, images->index_digest, err);
}

/* One processor's is packed, the other's is not. */
static void note_missing_busybox(const struct agent_images *images)
{
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        const struct agent_image *image = &images->processors[i];
        if (image->architecture != NULL && !image->has_busybox) {
            log_warn("no static busybox for %s was found: jobs of that processor in images without "
                     "a shell cannot run; put busybox-%s beside this program and push again",
                     image->architecture, processors[i].machine);
        }
    }
}

/* A configured busybox that fits none of the processors is an error; a missing default is not. */
static int check_busybox(const struct config *config, const struct agent_images *images,
                         struct error *err)
{
    char place[CONFIG_PLACE_BYTES];
    bool found = false;
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        found = found || images->processors[i].has_busybox;
    }
    if (found) {
        note_missing_busybox(images);
    }
    if (found || !uses_busybox(config)) {
        return 0;
    }
    if (config_place(config, &config->helper.busybox, "", place)[0] == '\0') {
        log_warn("'%s' is not a static busybox: jobs in images without a shell cannot run; install "
                 "the package busybox-static and push again",
                 config->helper.busybox);
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, "%s: '%s' is not a static program for %s", place,
                    config->helper.busybox, processors[OWN].architecture);
    return error_hint(err, "name the file of the package busybox-static, or \"none\"");
}

int agent_images_make(const struct config *config, struct agent_images *out_images,
                      struct error *err)
{
    *out_images = (struct agent_images){.processors = {{.architecture = NULL}}};
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        if (make_image(config, &processors[i], &out_images->processors[i], err) < 0) {
            return -1;
        }
    }
    if (check_busybox(config, out_images, err) < 0) {
        return -1;
    }
    bool both = out_images->processors[0].architecture != NULL &&
                out_images->processors[1].architecture != NULL;
    return both ? make_index(out_images, err) : 0;
}

void agent_images_done(struct agent_images *images)
{
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        buffer_done(&images->processors[i].layer);
        buffer_done(&images->processors[i].config);
        buffer_done(&images->processors[i].manifest);
    }
    buffer_done(&images->index);
}
