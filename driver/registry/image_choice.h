/* SPDX-License-Identifier: MIT */
/*
 * image_choice.h - which image an ECS task runs for a name, whose login pulls it, and what its
 * registry says about it.
 *
 * image_choose() does, in this order:
 *   - [Fargate] ImageRewrite: the longest prefix FROM that the name begins with is replaced.
 *   - [Fargate] RegistrySecrets: the secret of the host of the image to run. It would open any
 * image of that host to any project, so the registry is first asked for the image with the job's
 * own login (DOCKER_AUTH_CONFIG, the credentials in JOB_RESPONSE_FILE, CI_REGISTRY_...), or without
 *     one. A refusal is an error. No answer is one too, unless RegistrySecretsShared is true; with
 *     it a job that has no login for the host is not checked at all.
 *   - the look-up: one HEAD, and GET for a digest that is not in the cache beside the metadata. All
 *     images of a job share one budget (lookup.h), and a host that did not answer is left alone for
 *     5 minutes. Where the job fails without an answer, two attempts have a budget each.
 *
 * Errors are ERROR_USAGE, which is a build failure: the name is not valid, the image does not exist
 * (404, or "unknown" with a login), it is not built for 'architecture', the secret may not be used.
 * Any other failure of the look-up is silent (log_debug): 'known' is then false, and 'unknown' says
 * why. ERROR_SYSTEM: no answer where one is needed; with EINTR, a request to stop. Only hosts that
 * the administrator named are asked: with 'patterns', a pattern that matches the name must spell
 * the registry out (a pattern without one means Docker Hub), or the registry is in ECR or in
 * RegistrySecrets, InsecureRegistries or ImageRewrite.
 *
 * No ECS call is made. For an image in ECR: ecr:GetAuthorizationToken, once for each region.
 */
#ifndef BERTH_DRIVER_REGISTRY_IMAGE_CHOICE_H
#define BERTH_DRIVER_REGISTRY_IMAGE_CHOICE_H

#include <stdbool.h>

#include "common/error.h"
#include "driver/aws/aws.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/registry/image_facts.h"
#include "driver/registry/lookup.h"
#include "driver/registry/name.h"
#include "driver/runner/runner.h"

#define IMAGE_CHOICE_BYTES     1024
#define IMAGE_CHOICE_WHY_BYTES 384

struct image_request {
    const struct config *config;
    const struct runner *runner;        /* the job's own login; NULL: no job */
    const char *name;                   /* variables expanded, checked against the allow list */
    const struct config_list *patterns; /* the list that allows it; NULL: a name of the file */
    const char *architecture;           /* of the task: "amd64" or "arm64" */
    struct aws_client *aws;             /* for images in ECR; NULL: they are not looked up */
    struct signals *signals;            /* may be NULL */
    struct lookup_budget *budget;       /* of the job; NULL: of this image alone */
    bool is_needed; /* of a service, whose masked variables need its entrypoint: a host that did not
                       answer lately is asked all the same, and no answer is an error */
};

struct image_choice {
    char image[IMAGE_CHOICE_BYTES]; /* for the container definition */
    const char *secret; /* repositoryCredentials.credentialsParameter, of 'config'; NULL:
                           none */
    bool known;         /* 'facts' were read from the registry or the cache */
    char unknown[IMAGE_CHOICE_WHY_BYTES]; /* else: why not, "'HOST': HTTP 403" */
    struct image_facts facts;
};

/* Fills 'out_choice' on success alone; image_choice_done() frees its contents. */
int image_choose(const struct image_request *request, struct image_choice *out_choice,
                 struct error *err) __attribute__((warn_unused_result));
void image_choice_done(struct image_choice *choice);

/* Whether RegistrySecrets, ImageRewrite and InsecureRegistries can be used as they are written.
 * ERROR_USAGE names file and line. */
int image_choice_check(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

#endif
