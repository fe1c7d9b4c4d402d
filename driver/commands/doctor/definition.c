/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/ecs/generated.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"
#include "driver/commands/doctor/task_definition.h"
#include "driver/registry/ecr_name.h"

#define NAMES_BYTES    256
#define STOP_TIMEOUT_S 30 /* ECS's default */
#define SPOT_NOTICE_S  120
#define HEALTH_REMEDY_ARG \
    "\"healthCheck\": {\"command\": [\"CMD\", \"/usr/local/bin/berth-agent\", \"health\"]}"

int doctor_find_definition(struct doctor *doctor, struct error *err)
{
    struct aws_failure failure;
    const char *name = doctor->config->fargate.task_definition;
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    if (name == NULL) {
        cJSON_Delete(request);
        (void)error_set(err, ERROR_USAGE, 0, "no task definition");
        return error_hint(err, "set [Fargate] TaskDefinition");
    }
    if (cJSON_AddStringToObject(request, "taskDefinition", name) == NULL) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the task definition");
    }
    int result = doctor_ecs(doctor, "DescribeTaskDefinition", request, &answer, &failure, err);
    cJSON_Delete(request);
    if (result == 0) {
        doctor->definition = cJSON_DetachItemFromObjectCaseSensitive(answer, "taskDefinition");
        cJSON_Delete(answer);
    }
    return result;
}

static bool is(const char *text, const char *wanted)
{
    return text != NULL && strcmp(text, wanted) == 0;
}

static bool holds(const cJSON *list, const char *wanted)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        if (is(cJSON_GetStringValue(entry), wanted)) {
            return true;
        }
    }
    return false;
}

static void name_containers(const struct doctor *doctor, char out_names[NAMES_BYTES])
{
    const cJSON *container = NULL;
    size_t length = 0;
    out_names[0] = '\0';
    cJSON_ArrayForEach(container, json_at(doctor->definition, "containerDefinitions"))
    {
        const char *name = json_text_at(container, "name");
        if (name != NULL && length + strlen(name) + 5 < NAMES_BYTES) {
            length += (size_t)snprintf(out_names + length, NAMES_BYTES - length, "%s'%s'",
                                       length > 0 ? ", " : "", name);
        }
    }
}

/* Checks it for jobs without an image of their own: a generated definition gets what it needs. */
static void check_compatibility(struct doctor *doctor)
{
    const cJSON *definition = doctor->definition;
    char remedy[128];
    if (doctor->config->fargate.image != NULL || !doctor->knows_capacity) {
        return;
    }
    const char *wanted = ecs_capacity_compatibility(doctor->capacity);
    if (!holds(json_at(definition, "requiresCompatibilities"), wanted) &&
        !holds(json_at(definition, "compatibilities"), wanted)) {
        (void)snprintf(remedy, sizeof(remedy),
                       "register it with \"requiresCompatibilities\": [\"%s\"], cpu and memory",
                       wanted);
        doctor_report(doctor, DOCTOR_FAIL, remedy, "it is not compatible with %s",
                      doctor->capacity == ECS_CAPACITY_FARGATE
                          ? "Fargate"
                          : ecs_capacity_text(doctor->capacity));
    }
}

static void check_platform(struct doctor *doctor)
{
    const cJSON *definition = doctor->definition;
    const char *mode = json_text_at(definition, "networkMode");
    const char *system = json_text_at(definition, "runtimePlatform.operatingSystemFamily");
    const char *processor = json_text_at(definition, "runtimePlatform.cpuArchitecture");
    if (!is(mode, "awsvpc")) {
        doctor_report(doctor, DOCTOR_FAIL, "register it with \"networkMode\": \"awsvpc\"",
                      "its network mode is '%s': tasks get no address of their own",
                      mode == NULL ? "bridge" : mode);
    }
    check_compatibility(doctor);
    if (system != NULL && strcmp(system, "LINUX") != 0) {
        doctor_report(doctor, DOCTOR_FAIL, "Berth runs jobs on Linux: use a Linux task definition",
                      "its operating system is '%s'", system);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "Linux on %s: image and agent must be built for it",
                      processor == NULL ? "X86_64, by default" : processor);
    }
}

static void check_port(struct doctor *doctor, const cJSON *container)
{
    const cJSON *mapping = NULL;
    cJSON_ArrayForEach(mapping, json_at(container, "portMappings"))
    {
        const char *protocol = json_text_at(mapping, "protocol");
        if (json_number_at(mapping, "containerPort") == doctor->config->ssh_port &&
            (protocol == NULL || strcmp(protocol, "tcp") == 0)) {
            doctor_report(doctor, DOCTOR_OK, NULL, "port %lld is mapped",
                          (long long)doctor->config->ssh_port);
            return;
        }
    }
    doctor_report(doctor, DOCTOR_WARN,
                  "add it to portMappings, or set [SSH] Port to the image's port",
                  "the container maps no TCP port %lld", (long long)doctor->config->ssh_port);
}

static void check_stop_timeout(struct doctor *doctor, const cJSON *container)
{
    bool is_set = json_at(container, "stopTimeout") != NULL;
    int64_t timeout_s = is_set ? json_number_at(container, "stopTimeout") : STOP_TIMEOUT_S;
    int64_t grace_s = doctor->config->cancel_grace_ms / 1000;
    if (timeout_s <= grace_s) {
        doctor_report(
            doctor, DOCTOR_WARN, "raise stopTimeout (up to 120) or lower CancelGrace",
            "stopTimeout is %lld s: ECS kills the task before CancelGrace, %lld s, is over",
            (long long)timeout_s, (long long)grace_s);
    } else if (doctor->config->fargate.spot && timeout_s < SPOT_NOTICE_S) {
        doctor_report(doctor, DOCTOR_WARN,
                      "set \"stopTimeout\": 120 to use the two minutes of a notice",
                      "stopTimeout is %lld s: a job has no more time after a Spot notice",
                      (long long)timeout_s);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "stopTimeout %lld s", (long long)timeout_s);
    }
}

/* The agent of ECS Exec calls Session Manager with the task role. */
static void check_task_role(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    if (fargate->enable_execute_command && fargate->task_role == NULL &&
        json_text_at(doctor->definition, "taskRoleArn") == NULL) {
        doctor_report(doctor, DOCTOR_FAIL,
                      "give it a role that allows ssmmessages:CreateControlChannel, "
                      "CreateDataChannel, OpenControlChannel and OpenDataChannel as taskRoleArn",
                      "it has no task role, and EnableExecuteCommand needs one");
    }
}

/* Without the execution role such a task ends before it starts. */
static void check_execution_role(struct doctor *doctor, const cJSON *container)
{
    const char *image = json_text_at(container, "image");
    const char *driver = json_text_at(container, "logConfiguration.logDriver");
    struct ecr_name name;
    bool needed = (image != NULL && ecr_name_parse(image, &name) == 0) || is(driver, "awslogs") ||
                  cJSON_GetArraySize(json_at(container, "secrets")) > 0;
    if (json_text_at(doctor->definition, "executionRoleArn") == NULL &&
        doctor->config->fargate.execution_role == NULL && needed) {
        doctor_report(doctor, DOCTOR_FAIL,
                      "give it a role with AmazonECSTaskExecutionRolePolicy as executionRoleArn",
                      "it has no execution role: ECS cannot pull '%s' or write its log",
                      image == NULL ? "" : image);
    }
    if (driver == NULL) {
        doctor_report(doctor, DOCTOR_WARN, "add a logConfiguration, awslogs for example",
                      "the container has no log: an agent that does not start leaves no message");
    }
}

static void check_container(struct doctor *doctor, const cJSON *container)
{
    const cJSON *essential = json_at(container, "essential");
    check_stop_timeout(doctor, container);
    check_execution_role(doctor, container);
    check_task_role(doctor);
    if (doctor->config->fargate.image != NULL) {
        return; /* every job has a generated definition, for which the rest of it is dropped */
    }
    if (cJSON_IsFalse(essential)) {
        doctor_report(doctor, DOCTOR_WARN, "make it essential, so that the task ends with it",
                      "the container is not essential");
    }
    if (json_at(container, "healthCheck") == NULL) {
        doctor_report(doctor, DOCTOR_WARN, HEALTH_REMEDY_ARG, "the container has no health check");
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "health check");
    }
    check_port(doctor, container);
    doctor_check_image(doctor, container);
}

static void judge(struct doctor *doctor)
{
    const char *wanted = doctor->config->fargate.container_name;
    const char *arn = json_text_at(doctor->definition, "taskDefinitionArn");
    const char *status = json_text_at(doctor->definition, "status");
    if (is(status, "INACTIVE")) {
        doctor_report(doctor, DOCTOR_FAIL, "register it again, or name another revision",
                      "task definition '%s' is INACTIVE", arn == NULL ? "" : arn);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "task definition '%s'", arn == NULL ? "" : arn);
    check_platform(doctor);
    const cJSON *container = task_definition_container(doctor->definition, wanted);
    if (container == NULL) {
        char all[NAMES_BYTES];
        name_containers(doctor, all);
        doctor_report(doctor, DOCTOR_FAIL,
                      "set [Fargate] ContainerName to the one that runs the job",
                      "it has no container '%s'; there are: %s", wanted, all);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "container '%s'", wanted);
    check_container(doctor, container);
}

void doctor_check_definition(struct doctor *doctor)
{
    struct error err = {0};
    if (doctor->client == NULL) {
        doctor_report(doctor, DOCTOR_UNKNOWN, NULL, "task definition");
        return;
    }
    if (doctor->config->fargate.task_definition == NULL && ecs_generates(doctor->config)) {
        return; /* doctor_check_generated() */
    }
    if (doctor_find_definition(doctor, &err) < 0) {
        doctor_report_error(
            doctor, &err,
            err.hint[0] != '\0'
                ? NULL
                : "check [Fargate] TaskDefinition and Region, or register it: aws ecs "
                  "register-task-definition");
        return;
    }
    judge(doctor);
}
