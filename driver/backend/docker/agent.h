/* SPDX-License-Identifier: MIT */
/*
 * agent.h - the programs that a container gets before it starts: the agent, and a busybox that
 * replaces the shell of an image without one.
 *
 * They are copied into DOCKER_AGENT_DIRECTORY through the engine, so the image needs nothing.
 * The caller frees with docker_agent_done(), also after a failure.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_AGENT_H
#define BERTH_DRIVER_BACKEND_DOCKER_AGENT_H

#include <stdbool.h>

#include "driver/backend/docker/api.h"
#include "driver/backend/elf_file.h"

#define DOCKER_AGENT_DIRECTORY "/.berth"
#define DOCKER_AGENT_PATH      DOCKER_AGENT_DIRECTORY "/berth-agent"

struct docker_agent {
    const void *program;
    size_t program_length;
    struct buffer file;    /* of [Docker] Agent, if that is the program */
    struct buffer busybox; /* empty: none */
};

/* Docker's name of the processor of [Docker] Agent, else of the embedded agent; empty: unknown. */
void docker_agent_processor(const struct config *config, char out[ELF_PROCESSOR_BYTES]);

/* The agent for an image of the engine: [Docker] Agent, or the embedded one if only that runs
 * there. With 'shell' busybox too, where there is one. An image for another processor is
 * ERROR_USAGE; 'name' is for the message. */
int docker_agent_load(const struct config *config, const char *name, const cJSON *image, bool shell,
                      struct docker_agent *out_agent, struct error *err)
    __attribute__((warn_unused_result));
void docker_agent_done(struct docker_agent *agent);

/* Copies the programs into a container, and creates the directories, NULL at the end, with mode
 * 0777: the image's USER may be anyone. */
int docker_agent_put(struct docker *docker, const struct docker_agent *agent,
                     const char *const *directories, const char *id, int64_t deadline_ms,
                     struct error *err) __attribute__((warn_unused_result));

#endif
