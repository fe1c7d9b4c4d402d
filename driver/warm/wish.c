/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "driver/registry/name.h"
#include "driver/warm/warm.h"

#define WISH_CEILING_BYTES (256UL << 10)
#define HASH_BYTES         ((METADATA_WISH_BYTES - 1) / 2)

const char *warm_name(const struct config_warm *entry)
{
    return entry->image != NULL ? entry->image : entry->task_definition;
}

static char *or_else(char *own, char *otherwise)
{
    return own != NULL ? own : otherwise;
}

static int64_t number_or_else(int64_t own, int64_t otherwise)
{
    return own > 0 ? own : otherwise;
}

void warm_apply(const struct config *config, const struct config_warm *entry,
                struct config *out_config)
{
    *out_config = *config;
    struct config_fargate *fargate = &out_config->fargate;
    out_config->docker.image = or_else(entry->image, config->docker.image);
    out_config->image_platform = entry->image != NULL ? entry->platform : NULL;
    fargate->image = entry->image; /* NULL: the task definition as it is */
    fargate->task_definition = or_else(entry->task_definition, fargate->task_definition);
    if (entry->task_definition != NULL) {
        fargate->platform_version = or_else(entry->platform, fargate->platform_version);
    }
    fargate->task_role = or_else(entry->task_role, fargate->task_role);
    fargate->execution_role = or_else(entry->execution_role, fargate->execution_role);
    fargate->size.cpu_units = number_or_else(entry->size.cpu_units, fargate->size.cpu_units);
    fargate->size.memory_mib = number_or_else(entry->size.memory_mib, fargate->size.memory_mib);
    fargate->size.storage_gib = number_or_else(entry->size.storage_gib, fargate->size.storage_gib);
}

int warm_wish(const struct config *config, const struct backend *backend,
              char out_wish[METADATA_WISH_BYTES], struct error *err)
{
    static const char *const none[] = {NULL};
    unsigned char hash[HASH_BYTES];
    struct buffer text;
    int result = -1;
    if (backend->requirements == NULL) {
        return 0;
    }
    buffer_init(&text, WISH_CEILING_BYTES);
    if (buffer_printf(&text, "%s %s %lld\n", BERTH_VERSION, backend->name,
                      (long long)config->cancel_grace_ms) < 0) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot compare the job with warm tasks");
    } else if (config_describe(config, "SSH", none, &text, err) == 0) {
        result = backend->requirements(config, &text, err);
    }
    if (result == 1) {
        (void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)text.bytes, text.length,
                                 NULL, 0);
        (void)sodium_bin2hex(out_wish, METADATA_WISH_BYTES, hash, sizeof(hash));
    }
    buffer_done(&text);
    return result;
}

void warm_owner(const struct config *config, const struct backend *backend,
                char out_owner[METADATA_WISH_BYTES])
{
    unsigned char hash[HASH_BYTES];
    char path[PATH_MAX];
    char text[PATH_MAX + 32];
    bool found = config->path != NULL && realpath(config->path, path) != NULL;
    (void)snprintf(text, sizeof(text), "%s %s", backend->name, found ? path : "");
    (void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, strlen(text), NULL,
                             0);
    (void)sodium_bin2hex(out_owner, METADATA_WISH_BYTES, hash, sizeof(hash));
}

static int wrong(const struct config *config, const struct config_warm *entry, const char *what,
                 struct error *err)
{
    return error_set(err, ERROR_USAGE, 0, "%s:%u: [[Warm]] of '%s' %s", config->path, entry->line,
                     warm_name(entry), what);
}

static int check_entry(const struct config *config, const struct backend *backend,
                       const struct config_warm *entry, struct error *err)
{
    struct image_name name;
    bool has_size = entry->size.cpu_units > 0 || entry->size.memory_mib > 0 ||
                    entry->size.storage_gib > 0 || entry->task_role != NULL ||
                    entry->execution_role != NULL;
    if (backend->requirements == NULL) {
        (void)wrong(config, entry, "has no effect", err);
        return error_hint(err, "the backend '%s' has no warm tasks", backend->name);
    }
    if (entry->image != NULL && image_name_parse(entry->image, &name) < 0) {
        (void)wrong(config, entry, "has an Image that is not a valid image name", err);
        return image_name_hint(entry->image, err);
    }
    if (!backend->has_task_definitions && entry->task_definition != NULL) {
        return wrong(config, entry, "has a TaskDefinition, which is for ecs", err);
    }
    if (backend->has_task_definitions && entry->image != NULL && config->fargate.image == NULL &&
        !config->fargate.allowed_images.named) {
        (void)wrong(config, entry, "has no effect", err);
        return error_hint(err, "set TaskDefinition, or [Fargate] AllowedImages");
    }
    return !backend->has_task_definitions && has_size
               ? wrong(config, entry, "has a size or role, which are for ecs", err)
               : 0;
}

int warm_wishes(const struct config *config, const struct backend *backend,
                char (**out_wishes)[METADATA_WISH_BYTES], struct error *err)
{
    char(*wishes)[METADATA_WISH_BYTES] = calloc(config->warm_count + 1, sizeof(*wishes));
    int result =
        wishes == NULL ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot compare warm tasks") : 0;
    for (size_t i = 0; result == 0 && i < config->warm_count; i++) {
        const struct config_warm *entry = &config->warm[i];
        struct config own;
        warm_apply(config, entry, &own);
        if (check_entry(config, backend, entry, err) < 0) {
            result = -1;
        } else if (warm_wish(&own, backend, wishes[i], err) < 0) {
            result = error_wrap(err, "%s:%u: [[Warm]] of '%s'", config->path, entry->line,
                                warm_name(entry));
        }
        if (result == 0 && wishes[i][0] == '\0') {
            log_warn("%s:%u: [[Warm]] of '%s' has no effect: jobs that may need a login for their "
                     "image start cold; set [Fargate] RegistrySecretsShared = true if all jobs may "
                     "read the images of RegistrySecrets",
                     config->path, entry->line, warm_name(entry));
        }
        for (size_t j = 0; result == 0 && wishes[i][0] != '\0' && j < i; j++) {
            if (strcmp(wishes[i], wishes[j]) == 0) {
                (void)wrong(config, entry, "is for the same jobs as an earlier one", err);
                result = error_hint(err, "set Tasks or Schedule in line %u instead",
                                    config->warm[j].line);
            }
        }
    }
    if (result < 0) {
        free(wishes);
        return -1;
    }
    *out_wishes = wishes;
    return 0;
}
