/* SPDX-License-Identifier: MIT */
/* What the configuration and a job ask for, and whether they may: volumes, environment, labels,
 * network, image. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/docker_job.h"
#include "driver/backend/docker_job_private.h"
#include "driver/backend/docker_name.h"
#include "driver/runner.h"

static int bad_volume(const char *text, const char *why, struct error *err)
{
    return error_set(err, ERROR_USAGE, 0, "the volume '%.256s' %s; it is FROM:TO or FROM:TO:ro",
                     text, why);
}

/* A relative FROM such as "." or "./data" is below the current directory, as with Docker. */
static int resolve_from(const char *text, struct docker_volume *volume, struct error *err)
{
    char path[PATH_MAX];
    volume->is_directory = volume->from[0] == '/' || volume->from[0] == '.';
    if (volume->from[0] != '.') {
        return 0;
    }
    if (realpath(volume->from, path) == NULL) {
        return error_set(err, ERROR_USAGE, errno, "the volume '%s'", text);
    }
    (void)snprintf(volume->from, sizeof(volume->from), "%s", path);
    return 0;
}

int docker_volume_parse(const char *text, struct docker_volume *volume, struct error *err)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text) {
        return bad_volume(text, colon == NULL ? "has no ':'" : "has nothing before its ':'", err);
    }
    if (strlen(text) >= DOCKER_SPEC_CEILING) {
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
        return bad_volume(text, "has no absolute path as its TO", err);
    }
    return resolve_from(text, volume, err);
}

static int check_environment(const struct config_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *entry = list->entries[i];
        size_t length = strcspn(entry, "=");
        if (length == 0 || strncmp(entry, "BERTH_", 6) == 0 ||
            (length == 14 && strncmp(entry, "SSH_PUBLIC_KEY", length) == 0)) {
            return error_set(err, ERROR_USAGE, 0,
                             "[Docker] Environment: '%.*s' is no name of a variable for a job",
                             (int)length, entry);
        }
    }
    return 0;
}

static int check_network(const char *network, struct error *err)
{
    if (network != NULL && (strcmp(network, "host") == 0 || strcmp(network, "none") == 0 ||
                            strncmp(network, "container:", 10) == 0)) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Docker] Network '%s' gives a container no address of its own to reach "
                         "it at; name a bridge network",
                         network);
    }
    return 0;
}

int docker_job_check(const struct config *config, struct error *err)
{
    struct docker_volume *volume = calloc(1, sizeof(*volume));
    int result = volume == NULL ? error_set(err, ERROR_SYSTEM, errno, "cannot read the volumes")
                                : check_environment(&config->docker.environment, err);
    for (size_t i = 0; result == 0 && i < config->docker.volumes.count; i++) {
        result = docker_volume_parse(config->docker.volumes.entries[i], volume, err);
    }
    for (size_t i = 0; result == 0 && i < config->docker.labels.count; i++) {
        const char *label = config->docker.labels.entries[i];
        bool ours = strncmp(label, "berth.", 6) == 0;
        if (ours || strchr(label, '=') == NULL) {
            result = error_set(err, ERROR_USAGE, 0, "[Docker] Labels: '%s' is not NAME=VALUE%s",
                               label, ours ? " of your own" : "");
        }
    }
    free(volume);
    return result < 0 ? -1 : check_network(config->docker.network, err);
}

int docker_job_image(const struct config *config, const char **out_image, struct error *err)
{
    const struct config_docker *docker = &config->docker;
    const char *wanted = docker->image_is_fixed ? NULL : runner_variable("CI_JOB_IMAGE");
    struct docker_name name;
    if (wanted == NULL) {
        wanted = docker->image;
    } else if ((docker->image == NULL || strcmp(wanted, docker->image) != 0) &&
               !docker_name_allowed(&docker->allowed_images, wanted)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's image '%s' is not allowed here; [Docker] AllowedImages of this "
                         "runner %s",
                         wanted, docker->allowed_images.count == 0 ? "is empty" : "has no match");
    } else if ((docker->image == NULL || strcmp(wanted, docker->image) != 0) &&
               docker_name_may_be_id(wanted)) {
        return error_set(err, ERROR_USAGE, 0,
                         "the job's image '%s' may be an id; a job names an image by its name and "
                         "tag",
                         wanted);
    }
    if (wanted == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "no image; name one with 'image:' in the job, --image, or [Docker] Image");
    }
    if (docker_name_parse(wanted, &name) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is no name of an image", wanted);
    }
    *out_image = wanted;
    return 0;
}
