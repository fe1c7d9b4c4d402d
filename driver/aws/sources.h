/* SPDX-License-Identifier: MIT */
/*
 * sources.h - the places where AWS's SDKs look for credentials, one function each, for
 * credentials.c, which knows their order.
 *
 * Each returns 1 when it found credentials and filled search->out, 0 when it is not configured, and
 * -1 when it is and failed: then no later source is asked, since another identity than the one that
 * was meant would be worse than none. Texts that came in are wiped before they are freed.
 */
#ifndef BERTH_DRIVER_AWS_SOURCES_H
#define BERTH_DRIVER_AWS_SOURCES_H

#include <stdbool.h>

#include "driver/aws/client.h"
#include "driver/aws/profile.h"

#define AWS_ROLE_CHAIN_CEILING 8
#define AWS_WORD_CEILING       64
#define AWS_COMMAND_BYTES      4096

struct aws_search {
    struct aws_client *client;
    const struct aws_profiles *profiles;
    int64_t deadline_ms;
    struct aws_credentials *out;
    const char *visited[AWS_ROLE_CHAIN_CEILING]; /* profiles on the way through source_profile */
    size_t visited_count;
};

int aws_source_environment(struct aws_search *search, struct error *err);

/* The keys of a profile in one of the files; its credential_process; its role_arn. */
int aws_source_keys(struct aws_search *search, enum aws_profile_file file, const char *profile,
                    struct error *err);
int aws_source_process(struct aws_search *search, const char *profile, struct error *err);
int aws_source_role(struct aws_search *search, const char *profile, struct error *err);

/* A token file and a role: of the environment (unless told not to look there) or the profile. */
int aws_source_web_identity(struct aws_search *search, const char *profile, bool environment,
                            struct error *err);

/* A command line split into words as a POSIX shell quotes them; nothing else of a shell. */
struct aws_words {
    char text[AWS_COMMAND_BYTES];
    char *word[AWS_WORD_CEILING + 1]; /* into 'text'; NULL behind the last */
    size_t count;
};

/* -1: too long, too many words, none, or a quote or backslash without end. */
int aws_words_split(const char *command, struct aws_words *words)
    __attribute__((warn_unused_result));

/* Whether a secret may be sent there: by TLS, or in the clear to this machine or to the link-local
 * addresses of ECS and EKS. */
bool aws_trusts_host_of(const char *url);

int aws_source_container(struct aws_search *search, struct error *err);
int aws_source_metadata(struct aws_search *search, struct error *err);

/* Everything a profile can give by itself, for source_profile. */
int aws_source_profile(struct aws_search *search, const char *profile, struct error *err);

/* Credentials as JSON, with the name the source gives to the session token. Returns 1 or -1. */
int aws_source_read_json(struct aws_search *search, const char *text, size_t length,
                         const char *token_name, const char *source, struct error *err);

/* What a profile says, or with 'environment' the variable before it; NULL: nothing. */
const char *aws_source_setting(const struct aws_search *search, const char *profile,
                               const char *variable, const char *key, bool environment);

/* A whole small file such as a token, without the white space around it. The caller has given
 * 'out' a ceiling. */
int aws_read_token_file(const char *path, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

#endif
