/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/clock.h"
#include "driver/backend/docker_api.h"
#include "driver/doctor/doctor.h"
#include "driver/json.h"

#define CALL_MS 20000

static void check_image(struct doctor *doctor, struct docker *docker)
{
    const struct config_docker *settings = &doctor->config->docker;
    struct error err = {0};
    char path[1024];
    int status = 0;
    if (settings->image == NULL && settings->allowed_images.count == 0) {
        doctor_tell(doctor, DOCTOR_WRONG, "set [Docker] Image, or AllowedImages for the jobs' own",
                    "there is no image that a job could run in");
        return;
    }
    if (settings->image == NULL) {
        doctor_tell(doctor, DOCTOR_ODD, "set [Docker] Image",
                    "a job without 'image:' will fail: no image is configured");
        return;
    }
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    if (docker_path(path, sizeof(path), "/images/%s/json", settings->image) < 0 ||
        docker_call(docker, "GET", path, NULL, deadline_ms, &status, NULL, &err) < 0) {
        doctor_tell_error(doctor, &err, NULL);
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "image '%s' %s", settings->image,
                status == 200 ? "is there" : "will be pulled by the first job");
}

void doctor_check_engine(struct doctor *doctor)
{
    struct docker *docker = NULL;
    struct error err = {0};
    doctor_part("Docker Engine");
    if (docker_open(doctor->config, doctor->signals, &docker, &err) < 0) {
        doctor_tell_error(doctor, &err, NULL);
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "engine %s at %s", docker->version, docker->shown);
    check_image(doctor, docker);
    docker_close(docker);
}
