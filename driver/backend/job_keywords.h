/* SPDX-License-Identifier: MIT */
/*
 * job_keywords.h - a job's 'image:' and 'services:', checked against the allow lists.
 *
 * They come from JOB_RESPONSE_FILE, which has them whole; without that file, or with one that has
 * no such key, from CUSTOM_ENV_CI_JOB_IMAGE and CUSTOM_ENV_CI_JOB_SERVICES, which lack most
 * sub-keys. Names, aliases, user, platform and a service's variables are expanded as GitLab Runner
 * does, and only then compared with the lists. Nothing here calls the engine.
 *
 * An image or service is an object {"name", "alias", "user", "platform": text, "entrypoint",
 * "command", "pull_policy": array of texts, "env": array of "NAME=VALUE"}; what the job leaves out
 * is not in it. "alias_varies": true marks an alias that may have a variable's value. The caller
 * frees keywords with job_keywords_done(), also after a failure.
 */
#ifndef BERTH_DRIVER_BACKEND_JOB_KEYWORDS_H
#define BERTH_DRIVER_BACKEND_JOB_KEYWORDS_H

#include <cjson/cJSON.h>

#include "driver/config/config.h"

/* GitLab has no limit. */
#define JOB_SERVICE_CEILING 16

struct job_keywords {
    cJSON *image;    /* always with a name */
    cJSON *services; /* an array; NULL: none */
};

/* What the backend allows. */
struct job_keywords_rules {
    const char *section; /* of the configuration, "Fargate", for messages */
    const char *image;   /* of jobs without 'image:'; NULL: none */
    bool image_is_fixed; /* the job's is ignored */
    bool has_option;     /* --image is another way to name one */
    const struct config_list *allowed_images, *allowed_services;
    const char *processor; /* of the agent, which a platform must fit; NULL: not checked */
    bool is_published; /* others can read what the job's containers are made from: no masked value
                          may get into it */
    /* Whether the 'pull_policy' of a job, an array or NULL, is allowed; NULL: not checked. */
    int (*check_policies)(const struct config *config, const cJSON *policies, struct error *err);
};

/* Reads those of a job. What is not allowed or not valid is ERROR_USAGE, and with 'is_published'
 * what has got the value of a masked variable. */
int job_keywords_read(const struct job_keywords_rules *rules, const struct config *config,
                      struct job_keywords *keywords, struct error *err)
    __attribute__((warn_unused_result));
/* The same for 'exec', which has no job: it reads the image of the rules. */
int job_keywords_read_image(const struct job_keywords_rules *rules, const struct config *config,
                            struct job_keywords *keywords, struct error *err)
    __attribute__((warn_unused_result));
void job_keywords_done(struct job_keywords *keywords);

/* Warns about keys without effect in a task without a helper. */
void job_keywords_warn(const struct job_keywords *keywords);

/* The error of a description that is over the ceiling of its buffer. Returns -1. */
int job_keywords_too_long(struct error *err);

/* Appends what the container of the job depends on, as text: the image, and the job's variables
 * that change how its containers are started. Equal requests give equal texts (see 'requirements'
 * in backend.h).
 */
int job_keywords_describe(const struct job_keywords *keywords, struct buffer *out,
                          struct error *err) __attribute__((warn_unused_result));

#endif
