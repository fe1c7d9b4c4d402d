/* SPDX-License-Identifier: MIT */
/*
 * sources.h - the sources of credentials that AWS's SDKs know, one function each.
 *
 * Each returns 1 when it found credentials and filled search->out, 0 when it is not configured, and
 * -1 when it is configured and fails: a later source would give another identity than the
 * configured one. Secrets that were read are wiped before they are freed.
 */
#ifndef BERTH_DRIVER_AWS_SOURCES_H
#define BERTH_DRIVER_AWS_SOURCES_H

#include <stdbool.h>

#include "driver/aws/client.h"
#include "driver/aws/profile.h"

#define AWS_ROLE_CHAIN_CEILING 8

struct aws_search {
    struct aws_client *client;
    const struct aws_profiles *profiles;
    int64_t deadline_ms;
    struct aws_credentials *out;
    const char *visited[AWS_ROLE_CHAIN_CEILING]; /* the chain of source_profile so far */
    size_t visited_count;
};

/* Keys in the environment; those of a profile in one of the files. */
int aws_source_environment(struct aws_search *search, struct error *err);
int aws_source_keys(struct aws_search *search, enum aws_profile_file file, const char *profile,
                    struct error *err);

/* A profile's credential_process; its role_arn. */
int aws_source_process(struct aws_search *search, const char *profile, struct error *err);
int aws_source_role(struct aws_search *search, const char *profile, struct error *err);

/* A token file and a role, of the environment (with 'environment') or the profile. */
int aws_source_web_identity(struct aws_search *search, const char *profile, bool environment,
                            struct error *err);

/* Whether a secret may be sent to this URL: by TLS, or unencrypted to loopback or to the link-local
 * addresses of ECS and EKS. Exported for fuzzing. */
bool aws_trusts_host_of(const char *url);

int aws_source_container(struct aws_search *search, struct error *err);
int aws_source_metadata(struct aws_search *search, struct error *err);

/* Credentials as JSON; sources differ in the name of the session token. Returns 1 or -1. */
int aws_source_read_json(struct aws_search *search, const char *text, size_t length,
                         const char *token_name, const char *source, struct error *err);

/* A profile's setting; with 'environment' the variable takes precedence. NULL: not set. */
const char *aws_source_setting(const struct aws_search *search, const char *profile,
                               const char *variable, const char *key, bool environment);

/* Reads a small file such as a token, without trailing white space. The caller gives 'out' a
 * ceiling. */
int aws_read_token_file(const char *path, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

#endif
