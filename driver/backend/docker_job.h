/* SPDX-License-Identifier: MIT */
/*
 * docker_job.h - the container of a job: which image, with what, and the agent inside it.
 *
 * The image's own entrypoint, command and health check are replaced; its environment, user and
 * working directory stay. The agent is put into the container by the Engine API before it starts,
 * so any image will do that has a shell. Nothing here talks to the engine but
 * docker_job_put_agent().
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_JOB_H
#define BERTH_DRIVER_BACKEND_DOCKER_JOB_H

#include "driver/backend.h"
#include "driver/backend/docker_api.h"

/* Where the agent listens in the container: free also for users other than root, and out of the
 * way of what a job itself may serve. */
#define DOCKER_AGENT_PORT 22122
#define DOCKER_BUILDS     "/builds"
#define DOCKER_CACHE      "/cache"
/* What a person may do with one machine is not bounded by this, GitLab has no limit. */
#define DOCKER_SERVICE_CEILING 16

struct docker_job {
    const struct backend_task *task;
    const char *image;
    const char *network;       /* of this job alone, with its services; NULL: none */
    const char *mounted;       /* a directory of this machine that is mounted at its own path */
    bool published;            /* reached by a port of the engine's machine, not by address */
    bool published_everywhere; /* not on loopback alone */
};

/* By the command line, the job's 'image:' within the allow list, or the configuration. */
int docker_job_image(const struct config *config, const char **out_image, struct error *err)
    __attribute__((warn_unused_result));

/* Volumes, environment, labels and network of the configuration. A relative FROM must be there. */
int docker_job_check(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

/* The labels that tell whose a container is; an object to be deleted by the caller. */
cJSON *docker_job_labels(const struct config *config, const char *job, const char *role, bool *ok);

/* Memory, processors and processes, for each container of a job. */
void docker_job_limits(const struct config_docker *docker, cJSON *host, bool *ok);

/* The body of 'create'; holds the host key's seed, so docker_job_delete_body() frees it. */
cJSON *docker_job_body(const struct docker_job *job, struct error *err);
void docker_job_delete_body(cJSON *body);

int docker_job_put_agent(struct docker *docker, const struct docker_job *job, const char *id,
                         int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

#endif
