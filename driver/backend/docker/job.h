/* SPDX-License-Identifier: MIT */
/*
 * job.h - the containers of a job that run an agent: its own, and its helper's.
 *
 * The image's entrypoint, command and health check are replaced; its environment, user and working
 * directory stay. The helper runs git and gitlab-runner for the job (driver/runner/stage.h): as
 * root, with the job's limits and networks, never privileged, with no capability beyond the
 * engine's default, and of the host's directories only with those for builds and cache. Nothing
 * here calls the engine.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_JOB_H
#define BERTH_DRIVER_BACKEND_DOCKER_JOB_H

#include "driver/backend/backend.h"
#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/volumes.h"

/* The agent's port in a container: unprivileged, and unlikely to be used by the job itself. */
#define DOCKER_AGENT_PORT 22122

/* The job's container, or its helper's. */
struct docker_job {
    const struct backend_task *task;
    bool is_helper;
    const char *image;
    const char *user;          /* the job's; [Docker] User takes precedence; NULL: the image's */
    const char *platform;      /* of the image; NULL: not requested by the job */
    const cJSON *entrypoint;   /* words before the shell of the job's own stages; NULL: none */
    const char *network;       /* of this job alone, with its services; NULL: none */
    const char *builds;        /* volume at the builds directory; NULL: an anonymous one */
    const char *mounted;       /* a local directory, mounted at the same path */
    bool has_busybox;          /* beside the agent */
    bool published;            /* reached by a port of the engine's host, not by address */
    bool published_everywhere; /* on all interfaces instead of loopback */
};

/* Volumes, environment, labels and network of the configuration. A relative FROM must exist. */
int docker_job_check(const struct config *config, struct error *err)
    __attribute__((warn_unused_result));

/* Labels with the owner of a container; the caller deletes the object. */
cJSON *docker_job_labels(const struct config *config, const char *job, const char *role, bool *ok);

/* Memory, processors and processes, for each container of a job. */
void docker_job_limits(const struct config_docker *docker, cJSON *host, bool *ok);

/* The body of 'create'. It holds the host key's seed: free it with docker_job_delete_body(). */
cJSON *docker_job_body(const struct docker_job *job, struct error *err);
void docker_job_delete_body(cJSON *body);

/* The directories that the container's users may write to, for docker_agent_put(): at most
 * DOCKER_JOB_DIRECTORIES and NULL. */
#define DOCKER_JOB_DIRECTORIES 3
void docker_job_directories(const struct docker_job *job,
                            const char *out[DOCKER_JOB_DIRECTORIES + 1]);

#endif
