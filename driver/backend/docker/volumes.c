/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/volumes.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/json.h"

#define SPEC_BYTES 4096 /* of a volume's text, with the NUL */

/* One entry of [Docker] Volumes. */
struct volume {
    char from[SPEC_BYTES], to[SPEC_BYTES];
    bool is_directory, read_only;
};

static int bad_volume(const char *text, const char *why, struct error *err)
{
    return error_set(err, ERROR_USAGE, 0, "volume '%.256s' %s; use FROM:TO or FROM:TO:ro", text,
                     why);
}

/* Makes a FROM such as "." or "./data" absolute, as Docker does. */
static int resolve_from(const char *text, struct volume *volume, struct error *err)
{
    char path[PATH_MAX];
    volume->is_directory = volume->from[0] == '/' || volume->from[0] == '.';
    if (volume->from[0] != '.') {
        return 0;
    }
    if (realpath(volume->from, path) == NULL) {
        return error_set(err, ERROR_USAGE, errno, "volume '%s'", text);
    }
    (void)snprintf(volume->from, sizeof(volume->from), "%s", path);
    return 0;
}

/* Parses FROM:TO[:MODE]; a relative FROM is below the current directory. */
static int parse_volume(const char *text, struct volume *volume, struct error *err)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text) {
        return bad_volume(text, colon == NULL ? "has no ':'" : "has an empty FROM", err);
    }
    if (strlen(text) >= SPEC_BYTES) {
        return bad_volume(text, "is too long", err);
    }
    (void)snprintf(volume->from, sizeof(volume->from), "%.*s", (int)(colon - text), text);
    (void)snprintf(volume->to, sizeof(volume->to), "%s", colon + 1);
    char *mode = strchr(volume->to, ':');
    volume->read_only = mode != NULL && strcmp(mode, ":ro") == 0;
    if (mode != NULL && !volume->read_only && strcmp(mode, ":rw") != 0) {
        return bad_volume(text, "has a mode other than 'ro' and 'rw'", err);
    }
    if (mode != NULL) {
        *mode = '\0';
    }
    for (size_t end = strlen(volume->to); end > 1 && volume->to[end - 1] == '/'; end--) {
        volume->to[end - 1] = '\0';
    }
    if (volume->to[0] != '/' || volume->to[1] == '\0') {
        return bad_volume(text, "has a TO that is not an absolute path", err);
    }
    return resolve_from(text, volume, err);
}

const char *docker_entry_place(const struct config *config, const struct config_list *list,
                               size_t i, const char *option, char out[CONFIG_PLACE_BYTES])
{
    return i + list->from_options >= list->count ? option : config_place(config, list, option, out);
}

int docker_volumes_check(const struct config *config, struct error *err)
{
    const struct config_list *list = &config->docker.volumes;
    struct volume *volume = calloc(1, sizeof(*volume));
    int result =
        volume == NULL ? error_set(err, ERROR_SYSTEM, errno, "cannot read the volumes") : 0;
    for (size_t i = 0; result == 0 && i < list->count; i++) {
        if (parse_volume(list->entries[i], volume, err) < 0) {
            char out[CONFIG_PLACE_BYTES];
            const char *place = docker_entry_place(config, list, i, "--volume", out);
            err->kind = place == out || err->kind != ERROR_USAGE ? err->kind : ERROR_OPTION;
            result = error_wrap(err, "%s", place);
        }
    }
    free(volume);
    return result;
}

/* Calls 'visit' for each entry that can be parsed; stops when it returns true. */
static bool any_volume(const struct config *config,
                       bool (*visit)(const struct volume *volume, const void *context),
                       const void *context)
{
    const struct config_list *list = &config->docker.volumes;
    struct error ignored;
    struct volume volume = {.read_only = false};
    for (size_t i = 0; i < list->count; i++) {
        if (parse_volume(list->entries[i], &volume, &ignored) == 0 && visit(&volume, context)) {
            return true;
        }
    }
    return false;
}

static bool is_at(const struct volume *volume, const void *context)
{
    return strcmp(volume->to, context) == 0;
}

static bool is_kept_at(const struct volume *volume, const void *context)
{
    return is_at(volume, context) && (volume->is_directory || volume->read_only);
}

bool docker_volumes_have_builds(const struct config *config)
{
    return any_volume(config, is_at, DOCKER_BUILDS);
}

bool docker_volumes_keep(const struct config *config, const char *directory)
{
    return any_volume(config, is_kept_at, directory);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

bool docker_volumes_hide_builds(const struct config *config, const char *volume)
{
    static const char builds[] = DOCKER_BUILDS "/";
    size_t length = strlen(builds);
    return strncmp(volume, builds, length) == 0 &&
           volume[length + strspn(volume + length, "/")] != '\0' &&
           !any_volume(config, is_at, volume);
}

/* ".." in TO would lead elsewhere: Docker cleans the path. */
static bool is_wanted(const struct volume *volume, enum docker_volumes which)
{
    bool plain = strstr(volume->to, "/..") == NULL;
    bool in_builds = plain && is_below(volume->to, DOCKER_BUILDS);
    switch (which) {
    case DOCKER_VOLUMES_SHARED:
        return !volume->is_directory || in_builds || (plain && is_below(volume->to, DOCKER_CACHE));
    case DOCKER_VOLUMES_BUILDS:
        return in_builds;
    case DOCKER_VOLUMES_ALL:
    default:
        return true;
    }
}

int docker_volumes_add(const struct config *config, enum docker_volumes which, cJSON *mounts,
                       bool *ok, struct error *err)
{
    const struct config_list *list = &config->docker.volumes;
    struct volume *volume = calloc(1, sizeof(*volume));
    if (volume == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read the volumes");
    }
    int result = 0;
    for (size_t i = 0; result == 0 && i < list->count; i++) {
        result = parse_volume(list->entries[i], volume, err);
        if (result == 0 && is_wanted(volume, which)) {
            docker_mount_add(mounts, volume->from, volume->to, volume->is_directory,
                             volume->read_only, ok);
        }
    }
    free(volume);
    return result;
}

static cJSON *new_mount(const char *from, const char *to, bool is_directory, bool read_only,
                        bool *ok)
{
    cJSON *mount = cJSON_CreateObject();
    json_text(mount, "Type", is_directory ? "bind" : "volume", ok);
    if (from != NULL) {
        json_text(mount, "Source", from, ok);
    }
    json_text(mount, "Target", to, ok);
    json_bool(mount, "ReadOnly", read_only, ok);
    return mount;
}

static void append(cJSON *mounts, cJSON *mount, bool *ok)
{
    if (!cJSON_AddItemToArray(mounts, mount)) {
        cJSON_Delete(mount);
        *ok = false;
    }
}

void docker_mount_add(cJSON *mounts, const char *from, const char *to, bool is_directory,
                      bool read_only, bool *ok)
{
    append(mounts, new_mount(from, to, is_directory, read_only, ok), ok);
}

void docker_mount_add_builds(cJSON *mounts, const char *name, bool *ok)
{
    cJSON *mount = new_mount(name, DOCKER_BUILDS, false, false, ok);
    json_bool(json_object(mount, "VolumeOptions", ok), "NoCopy", true, ok);
    append(mounts, mount, ok);
}

void docker_builds_name(const char *job, char out[DOCKER_VOLUME_NAME_BYTES])
{
    (void)snprintf(out, DOCKER_VOLUME_NAME_BYTES, "berth-%s-builds", job);
}

int docker_builds_create(struct docker *docker, const char *name, const cJSON *labels,
                         int64_t deadline_ms, struct error *err)
{
    bool ok = true;
    cJSON *body = cJSON_CreateObject();
    cJSON *copy = cJSON_Duplicate(labels, 1);
    json_text(body, "Name", name, &ok);
    ok = ok && copy != NULL && cJSON_AddItemToObject(body, "Labels", copy);
    int result =
        !ok ? error_set(err, ERROR_SYSTEM, ENOMEM, "no memory")
            : docker_expect(docker, "POST", "/volumes/create", body, deadline_ms, NULL, err);
    cJSON_Delete(body);
    if (result < 0) { /* nothing in the request comes from the job */
        err->kind = err->kind == ERROR_USAGE ? ERROR_SYSTEM : err->kind;
        return error_wrap(err, "cannot create the volume '%s'", name);
    }
    return 0;
}
