/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/request.h"

#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/image.h"

int docker_request_read(const struct config *config, bool of_job, struct job_keywords *keywords,
                        struct error *err)
{
    const struct config_docker *docker = &config->docker;
    char processor[ELF_PROCESSOR_BYTES];
    docker_agent_processor(config, processor);
    const struct job_keywords_rules rules = {.section = "Docker",
                                             .image = docker->image,
                                             .image_is_fixed = docker->image_is_fixed,
                                             .has_option = true,
                                             .allowed_images = &docker->allowed_images,
                                             .allowed_services = &docker->allowed_services,
                                             .processor = processor,
                                             .check_policies = docker_image_check_policy};
    return of_job ? job_keywords_read(&rules, config, keywords, err)
                  : job_keywords_read_image(&rules, config, keywords, err);
}
