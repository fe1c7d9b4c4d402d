/* SPDX-License-Identifier: MIT */
/*
 * profile.h - the profiles of AWS's shared files: AWS_CONFIG_FILE (~/.aws/config) and
 * AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), the second over the first.
 *
 * A missing file is an empty one. An unreadable or malformed file, or a profile that is in neither,
 * is an error of kind ERROR_USAGE. aws_profiles_free() wipes the contents and accepts NULL;
 * returned texts are valid until then.
 */
#ifndef BERTH_DRIVER_AWS_PROFILE_H
#define BERTH_DRIVER_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define AWS_PROFILE_BYTES 128

struct aws_profiles;

enum aws_profile_file { AWS_CREDENTIALS_FILE, AWS_CONFIG_FILE };

/* 'wanted': the configured profile; NULL: AWS_PROFILE, or 'default'. */
struct aws_profiles *aws_profiles_load(const char *wanted, struct error *err);
void aws_profiles_free(struct aws_profiles *profiles);

/* The profile in use. */
const char *aws_profiles_chosen(const struct aws_profiles *profiles);
bool aws_profile_exists(const struct aws_profiles *profiles, const char *profile);

/* NULL: unset or empty. */
const char *aws_profile_get(const struct aws_profiles *profiles, const char *profile,
                            const char *key);
const char *aws_profile_get_from(const struct aws_profiles *profiles, enum aws_profile_file file,
                                 const char *profile, const char *key);

/* A setting of the chosen profile's [services] section: "ecs", "endpoint_url". */
bool aws_profile_service(const struct aws_profiles *profiles, const char *service, const char *key,
                         char *out, size_t size);

#endif
