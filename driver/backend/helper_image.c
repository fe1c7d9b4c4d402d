/* SPDX-License-Identifier: MIT */
#include "driver/backend/helper_image.h"

#include <stdio.h>
#include <string.h>

#include "driver/runner/runner.h"

#define REPOSITORY   "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper"
#define VERSION_NAME "CI_RUNNER_VERSION"
#define PART_DIGITS  5 /* of each part of a version */

bool helper_image_is_version(const char *text)
{
    for (int part = 0; part < 3; part++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > PART_DIGITS || text[digits] != (part < 2 ? '.' : '\0')) {
            return false;
        }
        text += digits + 1;
    }
    return true;
}

static int check_version(const char *version, struct error *err)
{
    if (version != NULL && helper_image_is_version(version)) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0, VERSION_NAME " is '%.64s', not a version such as 19.4.0",
                    version == NULL ? "" : version);
    return error_hint(err, "set [Helper] Image");
}

/* The length of the variable's name at 'at' as it may be written; 0: it is not there. */
static size_t variable_at(const char *at)
{
    static const char *const forms[] = {"$" VERSION_NAME, "${" VERSION_NAME "}"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strncmp(at, forms[i], strlen(forms[i])) == 0) {
            return strlen(forms[i]);
        }
    }
    return 0;
}

static int from_configuration(const char *text, char out_name[HELPER_IMAGE_BYTES],
                              struct error *err)
{
    const char *version = runner_variable(VERSION_NAME);
    size_t length = 0;
    out_name[0] = '\0';
    while (*text != '\0') {
        size_t skip = variable_at(text);
        size_t room = HELPER_IMAGE_BYTES - length;
        if (skip > 0 && check_version(version, err) < 0) {
            return -1;
        }
        int wrote = skip > 0 ? snprintf(out_name + length, room, "%s", version)
                             : snprintf(out_name + length, room, "%c", *text);
        if ((size_t)wrote >= room) {
            return error_set(err, ERROR_USAGE, 0, "[Helper] Image is too long");
        }
        length += (size_t)wrote;
        text += skip > 0 ? skip : 1;
    }
    return 0;
}

int helper_image_published(const char *version, const char *processor,
                           char out_name[HELPER_IMAGE_BYTES], struct error *err)
{
    bool intel = strcmp(processor, "amd64") == 0;
    if (!intel && strcmp(processor, "arm64") != 0) {
        (void)error_set(err, ERROR_USAGE, 0, "no helper image is known for the processor '%s'",
                        processor);
        return error_hint(err, "set [Helper] Image");
    }
    (void)snprintf(out_name, HELPER_IMAGE_BYTES, REPOSITORY ":%s-v%s", intel ? "x86_64" : "arm64",
                   version);
    return 0;
}

int helper_image_name(const struct config *config, const char *processor,
                      char out_name[HELPER_IMAGE_BYTES], struct error *err)
{
    const char *version = runner_variable(VERSION_NAME);
    if (config->helper.image != NULL) {
        return from_configuration(config->helper.image, out_name, err);
    }
    return check_version(version, err) < 0
               ? -1
               : helper_image_published(version, processor, out_name, err);
}
