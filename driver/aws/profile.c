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
#include "driver/aws/words.h"
#include "driver/base/home.h"

struct aws_profiles {
    struct ini *files[AWS_CONFIG_FILE + 1]; /* NULL: not there */
    char chosen[AWS_PROFILE_BYTES];
};

static const struct {
    const char *variable, *in_home;
} places[] = {
    [AWS_CREDENTIALS_FILE] = {"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"},
    [AWS_CONFIG_FILE] = {"AWS_CONFIG_FILE", ".aws/config"},
};
_Static_assert(sizeof(places) / sizeof(places[0]) == AWS_CONFIG_FILE + 1, "a place for each file");

static const char *nonempty(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* False: neither the variable nor a home directory is set. */
static bool name_path(enum aws_profile_file file, char out[PATH_MAX])
{
    const char *named = nonempty(getenv(places[file].variable));
    const char *home = home_directory();
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
    /* As in the SDKs, a missing file is not an error, and /dev/null is an empty one. */
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
        (void)error_set(err, ERROR_USAGE, 0,
                        "AWS profile '%s' is neither in ~/.aws/config nor in ~/.aws/credentials",
                        named);
        return error_hint(err, "set AWS_CONFIG_FILE if the files are elsewhere");
    }
    return 0;
}

struct aws_profiles *aws_profiles_load(const char *wanted, struct error *err)
{
    struct aws_profiles *profiles = calloc(1, sizeof(*profiles));
    if (profiles == NULL) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot read the AWS configuration");
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

/* Whether the section's head is "KIND NAME", split as by a shell. Botocore tests the beginning of
 * the head, then uses the second of exactly two words. */
static bool is_about(const char *section, const char *kind, const char *name)
{
    struct aws_words words;
    return strncmp(section, kind, strlen(kind)) == 0 && aws_words_split(section, &words) == 0 &&
           words.count == 2 && strcmp(words.word[1], name) == 0;
}

/* The last one alone is used: [default] and [profile default] are not merged. */
static const char *find_section(const struct ini *ini, const char *kind, const char *name)
{
    const char *found = NULL;
    const char *section;
    for (size_t i = 0; (section = ini_section(ini, i)) != NULL; i++) {
        bool plain = strcmp(kind, "profile") == 0 && strcmp(name, "default") == 0 &&
                     strcmp(section, "default") == 0;
        found = plain || is_about(section, kind, name) ? section : found;
    }
    return found;
}

static const char *section_of(const struct aws_profiles *profiles, enum aws_profile_file file,
                              const char *profile)
{
    const struct ini *ini = profiles->files[file];
    if (file == AWS_CONFIG_FILE) {
        return find_section(ini, "profile", profile);
    }
    return ini_has_section(ini, profile) ? profile : NULL;
}

bool aws_profile_exists(const struct aws_profiles *profiles, const char *profile)
{
    return section_of(profiles, AWS_CREDENTIALS_FILE, profile) != NULL ||
           section_of(profiles, AWS_CONFIG_FILE, profile) != NULL;
}

/* NULL for a list of settings. */
const char *aws_profile_get_from(const struct aws_profiles *profiles, enum aws_profile_file file,
                                 const char *profile, const char *key)
{
    const char *section = section_of(profiles, file, profile);
    const char *value = section == NULL ? NULL : ini_get(profiles->files[file], section, key);
    return value == NULL || value[0] == '\n' ? NULL : nonempty(value);
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
    const struct ini *ini = profiles->files[AWS_CONFIG_FILE];
    const char *services = aws_profile_get(profiles, profiles->chosen, "services");
    const char *section = services == NULL ? NULL : find_section(ini, "services", services);
    return section != NULL && ini_nested(ini_get(ini, section, service), key, out, size);
}
