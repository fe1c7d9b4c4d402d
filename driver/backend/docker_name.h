/* SPDX-License-Identifier: MIT */
/*
 * docker_name.h - names of container images: what is in one, who may use it, what a service of
 * that name is called. Pure text.
 *
 * A name is [REGISTRY[:PORT]/]PATH[:TAG][@DIGEST] (grammar: the distribution project's reference
 * package). Aliases of services follow GitLab Runner (helpers/container/services).
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_NAME_H
#define BERTH_DRIVER_BACKEND_DOCKER_NAME_H

#include <stdbool.h>

#include "driver/config.h"

#define DOCKER_NAME_BYTES  512
#define DOCKER_ALIAS_BYTES 256 /* no DNS name is longer */

struct docker_name {
    char repository[DOCKER_NAME_BYTES]; /* with the registry, as it was written */
    char tag[160];                      /* "latest" when none was written, or "sha256:..." */
    char registry[256];                 /* "docker.io" when none was written */
};

/* Returns -1 for a text that is no image's name; 'out_name' is then untouched. */
int docker_name_parse(const char *text, struct docker_name *out_name)
    __attribute__((warn_unused_result));

/* Whether a pattern matches the name as written, or with its default tag: '*' is any text without
 * '/', '**' any text, '?' one character but '/'. A digest stands for any image that its repository
 * ever held, whatever tag is written beside it: it takes a pattern that names the digest, all tags
 * ("ruby:*") or none. */
bool docker_name_matches(const char *pattern, const char *text);
bool docker_name_allowed(const struct config_list *patterns, const char *text);

/* Whether an engine could take the text for the id of any image that it has, or for the beginning
 * of one: patterns do not bind those. */
bool docker_name_may_be_id(const char *text);

/* The two host names of a service: '/' as "__" and as "-", without port, tag and digest. The
 * second is empty when it is the same. */
void docker_name_aliases(const struct docker_name *name, char out_aliases[2][DOCKER_ALIAS_BYTES]);

#endif
