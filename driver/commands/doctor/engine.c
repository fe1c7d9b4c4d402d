/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/backend/docker/agent.h"
#include "driver/backend/docker/container.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/checks.h"
#include "driver/registry/name.h"

#define CALL_MS               20000
#define BUSYBOX_CEILING_BYTES (64UL << 20)

/* Whether the engine has the image. */
static void look_for(struct doctor *doctor, struct docker *docker, const char *what,
                     const char *image)
{
    struct error err = {0};
    struct image_name name;
    char path[1024];
    int status = 0;
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    if (image_name_parse(image, &name) < 0) {
        doctor_report(doctor, DOCTOR_FAIL, "names are as in 'registry.example.com/group/image:tag'",
                      "%s '%s' is not a valid image name", what, image);
        return;
    }
    if (docker_path(path, sizeof(path), "/images/%s/json", image) < 0 ||
        docker_call(docker, "GET", path, NULL, deadline_ms, &status, NULL, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "%s '%s' %s", what, image,
                  status == 200 ? "exists" : "will be pulled by the first job");
}

static void check_image(struct doctor *doctor, struct docker *docker)
{
    const struct config_docker *settings = &doctor->config->docker;
    if (settings->image == NULL && settings->allowed_images.count == 0) {
        return; /* reported by the backend's own check */
    }
    if (settings->image == NULL) {
        doctor_report(doctor, DOCTOR_WARN, "set [Docker] Image",
                      "a job without 'image:' will fail: no image is configured");
        return;
    }
    look_for(doctor, docker, "image", settings->image);
}

/* Without a job the runner's version, which the default image has in its name, is not known. */
static void check_helper(struct doctor *doctor, struct docker *docker)
{
    const struct config_helper *settings = &doctor->config->helper;
    if (strcmp(settings->use, "never") == 0) {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "no helper container: images need git and gitlab-runner");
    } else if (settings->image == NULL) {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "helper image: gitlab-runner-helper of the runner's version, which the first "
                      "job will pull");
    } else if (strchr(settings->image, '$') != NULL) {
        doctor_report(doctor, DOCTOR_OK, NULL, "helper image '%s' will be pulled by the first job",
                      settings->image);
    } else {
        look_for(doctor, docker, "helper image", settings->image);
    }
}

static void check_network(struct doctor *doctor, struct docker *docker)
{
    struct error err = {0};
    const char *network = doctor->config->docker.network;
    if (network != NULL && docker_network_check(docker, doctor->deadline_ms, &err) < 0) {
        doctor_report_error(doctor, &err,
                            "create it with 'docker network create', or correct the name");
    } else if (network != NULL) {
        doctor_report(doctor, DOCTOR_OK, NULL, "network '%s' exists", network);
    }
}

static void check_busybox(struct doctor *doctor, const struct docker *docker)
{
    struct buffer program;
    struct error err = {0};
    char processor[ELF_PROCESSOR_BYTES];
    docker_agent_processor(doctor->config, processor);
    buffer_init(&program, BUSYBOX_CEILING_BYTES);
    int found = elf_file_busybox(doctor->config,
                                 docker->processor[0] != '\0' ? docker->processor : processor,
                                 &program, &err);
    if (found < 0) {
        doctor_report_error(doctor, &err, NULL);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "images without a shell %s",
                      found == 1 ? "get busybox" : "cannot be used: no static busybox");
    }
    buffer_done(&program);
}

void doctor_check_engine(struct doctor *doctor)
{
    struct docker *docker = NULL;
    struct error err = {0};
    doctor_print_heading(doctor, "Docker Engine");
    if (docker_open(doctor->config, doctor->signals, &docker, &err) < 0 ||
        docker_identify(docker, doctor->deadline_ms, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
        docker_close(docker);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "engine %s at %s", docker->version, docker->shown);
    check_image(doctor, docker);
    check_network(doctor, docker);
    check_helper(doctor, docker);
    check_busybox(doctor, docker);
    docker_close(docker);
}
