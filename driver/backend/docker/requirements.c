/* SPDX-License-Identifier: MIT */
/*
 * What a job asks of its container, as text: see 'requirements' in backend.h. All settings of
 * [Docker] count that reach the container, and of the job whatever its containers depend on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/request.h"
#include "driver/backend/docker/task.h"
#include "driver/backend/helper_image.h"
#include "driver/backend/job_keywords.h"
#include "driver/base/json.h"
#include "driver/runner/runner.h"

/* A variable without '=' has the value of the process that launches. */
static int write_environment(const struct config_list *list, struct buffer *out, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *entry = list->entries[i];
        const char *value = strchr(entry, '=') == NULL ? getenv(entry) : NULL;
        if (value != NULL && buffer_printf(out, "%s=%s\n", entry, value) < 0) {
            return job_keywords_too_long(err);
        }
    }
    return 0;
}

/* A warm task has a helper if jobs may have one. */
static int write_helper(const struct config *config, struct buffer *out, struct error *err)
{
    char processor[ELF_PROCESSOR_BYTES];
    char image[HELPER_IMAGE_BYTES] = "";
    docker_agent_processor(config, processor);
    if (strcmp(config->helper.use, "never") != 0 &&
        helper_image_name(config, processor, image, err) < 0) {
        return -1;
    }
    return buffer_printf(out, "helper %s\n", image) < 0 ? job_keywords_too_long(err) : 0;
}

int docker_requirements(const struct config *config, struct buffer *out_text, struct error *err)
{
    static const char *const except_helper[] = {"Use", "Image", "AgentImage", NULL};
    static const char *const none[] = {NULL};
    /* What the request says, or what has no effect on a container that runs. */
    static const char *const except[] = {"Image",      "AllowedImages", "AllowedServices",
                                         "PullPolicy", "PullTimeout",   "ServiceTimeout",
                                         NULL};
    struct job_keywords request;
    int result = docker_request_read(config, true, &request, err);
    if (result == 0 && request.services == NULL) {
        result = job_keywords_describe(&request, out_text, err) < 0 ||
                         write_environment(&config->docker.environment, out_text, err) < 0 ||
                         write_helper(config, out_text, err) < 0 ||
                         config_describe(config, "Helper", except_helper, out_text, err) < 0 ||
                         config_describe(config, "Services", none, out_text, err) < 0 ||
                         config_describe(config, "Docker", except, out_text, err) < 0
                     ? -1
                     : 1;
    }
    job_keywords_done(&request);
    return result;
}
