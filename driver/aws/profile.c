/* SPDX-License-Identifier: MIT */
#include "driver/aws/profile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "driver/aws/ini.h"

struct aws_profiles {
    struct ini *files[2]; /* NULL: there is none */
    char chosen[AWS_PROFILE_BYTES];
};

static const struct {
    const char *variable, *in_home;
} places[] = {
    [AWS_CREDENTIALS_FILE] = {"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"},
    [AWS_CONFIG_FILE] = {"AWS_CONFIG_FILE", ".aws/config"},
};

static const char *nonempty(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* Returns whether there is such a path at all. */
static bool name_path(enum aws_profile_file file, char out[PATH_MAX])
{
    const char *named = nonempty(getenv(places[file].variable));
    const char *home = nonempty(getenv("HOME"));
    int length = 0;
    if (named != NULL && strncmp(named, "~/", 2) != 0) {
        length = snprintf(out, PATH_MAX, "%s", named);
    } else if (home != NULL) {
        length = snprintf(out, PATH_MAX, "%s/%s", home,
                          named == NULL ? places[file].in_home : named + 2);
    }
    return length > 0 && length < PATH_MAX;
}

static int load(enum aws_profile_file file, struct ini **out, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text;
    /* As the SDKs have it, a named file that is missing is no error, and /dev/null, by which people
     * say that there is none, is an empty one. */
    if (!name_path(file, path) || strcmp(path, "/dev/null") == 0 ||
        (access(path, F_OK) < 0 && errno == ENOENT)) {
        return 0;
    }
    buffer_init(&text, INI_TEXT_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        err->kind = ERROR_USAGE;
    } else {
        *out = ini_parse(path, text.bytes == NULL ? "" : text.bytes, text.length, err);
        result = *out == NULL ? -1 : 0;
    }
    buffer_done(&text);
    return result;
}

static int choose(struct aws_profiles *profiles, const char *wanted, struct error *err)
{
    const char *named = nonempty(wanted);
    named = named != NULL ? named : nonempty(getenv("AWS_DEFAULT_PROFILE"));
    named = named != NULL ? named : nonempty(getenv("AWS_PROFILE"));
    const char *chosen = named != NULL ? named : "default";
    if (strlen(chosen) >= AWS_PROFILE_BYTES) {
        return error_set(err, ERROR_USAGE, 0, "the name of the AWS profile is too long");
    }
    (void)snprintf(profiles->chosen, sizeof(profiles->chosen), "%s", chosen);
    if (named != NULL && !aws_profile_exists(profiles, named)) {
        return error_set(err, ERROR_USAGE, 0,
                         "AWS profile '%s' is neither in ~/.aws/config nor in ~/.aws/credentials; "
                         "set AWS_CONFIG_FILE when the files are elsewhere",
                         named);
    }
    return 0;
}

struct aws_profiles *aws_profiles_load(const char *wanted, struct error *err)
{
    struct aws_profiles *profiles = calloc(1, sizeof(*profiles));
    if (profiles == NULL) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot read AWS's configuration");
        return NULL;
    }
    if (load(AWS_CREDENTIALS_FILE, &profiles->files[AWS_CREDENTIALS_FILE], err) < 0 ||
        load(AWS_CONFIG_FILE, &profiles->files[AWS_CONFIG_FILE], err) < 0 ||
        choose(profiles, wanted, err) < 0) {
        aws_profiles_free(profiles);
        return NULL;
    }
    return profiles;
}

void aws_profiles_free(struct aws_profiles *profiles)
{
    if (profiles != NULL) {
        ini_free(profiles->files[AWS_CREDENTIALS_FILE]);
        ini_free(profiles->files[AWS_CONFIG_FILE]);
        free(profiles);
    }
}

const char *aws_profiles_chosen(const struct aws_profiles *profiles)
{
    return profiles->chosen;
}

/* The value of a key, or with key NULL anything that is not NULL if there is such a section. */
static const char *look(const struct ini *ini, const char *section, const char *key)
{
    if (key != NULL) {
        return ini_get(ini, section, key);
    }
    return ini_has_section(ini, section) ? section : NULL;
}

static const char *look_in(const struct aws_profiles *profiles, enum aws_profile_file file,
                           const char *profile, const char *key)
{
    /* How the config file writes the head of a profile's section. */
    static const struct {
        const char *before, *after;
    } forms[] = {{"profile ", ""}, {"profile \"", "\""}, {"profile '", "'"}};
    const struct ini *ini = profiles->files[file];
    const char *found = NULL;
    if (file == AWS_CREDENTIALS_FILE || strcmp(profile, "default") == 0) {
        found = look(ini, profile, key);
    }
    for (size_t i = 0;
         file == AWS_CONFIG_FILE && found == NULL && i < sizeof(forms) / sizeof(forms[0]); i++) {
        char section[AWS_PROFILE_BYTES + 16];
        (void)snprintf(section, sizeof(section), "%s%s%s", forms[i].before, profile,
                       forms[i].after);
        found = look(ini, section, key);
        found = found == section ? profile : found; /* 'section' ends here */
    }
    return found;
}

bool aws_profile_exists(const struct aws_profiles *profiles, const char *profile)
{
    return look_in(profiles, AWS_CREDENTIALS_FILE, profile, NULL) != NULL ||
           look_in(profiles, AWS_CONFIG_FILE, profile, NULL) != NULL;
}

const char *aws_profile_get_from(const struct aws_profiles *profiles, enum aws_profile_file file,
                                 const char *profile, const char *key)
{
    return nonempty(look_in(profiles, file, profile, key));
}

const char *aws_profile_get(const struct aws_profiles *profiles, const char *profile,
                            const char *key)
{
    const char *found = aws_profile_get_from(profiles, AWS_CREDENTIALS_FILE, profile, key);
    return found != NULL ? found : aws_profile_get_from(profiles, AWS_CONFIG_FILE, profile, key);
}

bool aws_profile_service(const struct aws_profiles *profiles, const char *service, const char *key,
                         char *out, size_t size)
{
    char section[AWS_PROFILE_BYTES + 16];
    const char *services = aws_profile_get(profiles, profiles->chosen, "services");
    if (services == NULL || strlen(services) >= AWS_PROFILE_BYTES) {
        return false;
    }
    (void)snprintf(section, sizeof(section), "services %s", services);
    return ini_nested(ini_get(profiles->files[AWS_CONFIG_FILE], section, service), key, out, size);
}
