/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/helper.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/image.h"
#include "driver/backend/docker/task.h"
#include "driver/backend/helper_image.h"
#include "driver/record/pool.h"
#include "driver/registry/name.h"

/* The processor of the engine, or what our agent is for: the helper needs the agent, too. */
static int choose_processor(struct docker *docker, char out[ELF_PROCESSOR_BYTES], struct error *err)
{
    docker_agent_processor(docker->config, out);
    if (docker_identify(docker, CLOCK_NEVER, err) < 0) {
        return -1;
    }
    if (docker->processor[0] != '\0') {
        (void)snprintf(out, ELF_PROCESSOR_BYTES, "%s", docker->processor);
    }
    return 0;
}

static int ensure_image(struct docker *docker, char image[HELPER_IMAGE_BYTES], struct error *err)
{
    char processor[ELF_PROCESSOR_BYTES];
    struct image_name name;
    if (choose_processor(docker, processor, err) < 0 ||
        helper_image_name(docker->config, processor, image, err) < 0) {
        return -1;
    }
    if (image_name_parse(image, &name) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "[Helper] Image '%s' is not a valid image name",
                        image);
        return image_name_hint(image, err);
    }
    const struct docker_wanted wanted = {.name = image, .architecture = processor};
    return docker_image_ensure(docker, &wanted, err);
}

int docker_helper_fetch(struct backend_task *task, struct docker *docker, struct error *err)
{
    const char *use = task->config->helper.use;
    char image[HELPER_IMAGE_BYTES];
    if (task->die_with_parent || strcmp(use, "never") == 0) {
        return 0;
    }
    if (ensure_image(docker, image, err) == 0) {
        return docker_set_state(task, BACKEND_HELPER_IMAGE, image, err);
    }
    bool warm = pool_has_key(task->metadata->job); /* for jobs that may need the helper */
    if (strcmp(use, "always") == 0 || warm || signals_pending(task->signals)) {
        return error_wrap(err, "helper container");
    }
    char text[ERROR_TEXT_BYTES];
    log_warn("no helper container: %s; all stages run in the job's container, which needs git and "
             "gitlab-runner",
             error_text(err, text));
    task->wants_git = true;
    task->lost_helper = err->kind == ERROR_SYSTEM;
    return 0;
}
