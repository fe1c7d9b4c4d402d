/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/doctor/doctor.h"
#include "driver/doctor/ecr_name.h"
#include "driver/json.h"

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
        return error_set(err, ERROR_USAGE, 0, "no task definition; set [Fargate] TaskDefinition");
    }
    if (cJSON_AddStringToObject(request, "taskDefinition", name) == NULL) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot ask for the task definition");
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

const cJSON *doctor_container(const cJSON *definition, const char *name)
{
    const cJSON *container = NULL;
    cJSON_ArrayForEach(container, json_at(definition, "containerDefinitions"))
    {
        if (is(json_text_at(container, "name"), name)) {
            return container;
        }
    }
    return NULL;
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

static void check_kind(struct doctor *doctor)
{
    const cJSON *definition = doctor->definition;
    const char *mode = json_text_at(definition, "networkMode");
    const char *system = json_text_at(definition, "runtimePlatform.operatingSystemFamily");
    const char *processor = json_text_at(definition, "runtimePlatform.cpuArchitecture");
    if (!is(mode, "awsvpc")) {
        doctor_tell(doctor, DOCTOR_WRONG, "register it with \"networkMode\": \"awsvpc\"",
                    "its network mode is '%s': tasks get no address of their own",
                    mode == NULL ? "bridge" : mode);
    }
    if (!holds(json_at(definition, "requiresCompatibilities"), "FARGATE") &&
        !holds(json_at(definition, "compatibilities"), "FARGATE")) {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "register it with \"requiresCompatibilities\": [\"FARGATE\"], cpu and memory",
                    "it is not compatible with Fargate");
    }
    if (system != NULL && strcmp(system, "LINUX") != 0) {
        doctor_tell(doctor, DOCTOR_WRONG, "Berth runs jobs on Linux: use a Linux task definition",
                    "its operating system is '%s'", system);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "Linux on %s: image and agent must be built for it",
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
            doctor_tell(doctor, DOCTOR_FINE, NULL, "port %lld is mapped",
                        (long long)doctor->config->ssh_port);
            return;
        }
    }
    doctor_tell(doctor, DOCTOR_ODD, "add it to portMappings, or set [SSH] Port to the image's port",
                "the container maps no TCP port %lld", (long long)doctor->config->ssh_port);
}

static void check_end(struct doctor *doctor, const cJSON *container)
{
    bool said = json_at(container, "stopTimeout") != NULL;
    int64_t timeout_s = said ? json_number_at(container, "stopTimeout") : STOP_TIMEOUT_S;
    int64_t grace_s = doctor->config->cancel_grace_ms / 1000;
    if (timeout_s <= grace_s) {
        doctor_tell(doctor, DOCTOR_ODD, "raise stopTimeout (up to 120) or lower CancelGrace",
                    "stopTimeout is %lld s: ECS kills the task before CancelGrace, %lld s, is over",
                    (long long)timeout_s, (long long)grace_s);
    } else if (doctor->config->fargate.spot && timeout_s < SPOT_NOTICE_S) {
        doctor_tell(doctor, DOCTOR_ODD, "\"stopTimeout\": 120 gives it the two minutes of a notice",
                    "stopTimeout is %lld s: what a job has after a Spot notice",
                    (long long)timeout_s);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "stopTimeout %lld s", (long long)timeout_s);
    }
}

/* ECS Exec's agent calls Session Manager as the task. */
static void check_task_role(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    if (fargate->enable_execute_command && fargate->task_role == NULL &&
        json_text_at(doctor->definition, "taskRoleArn") == NULL) {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "give it a role that allows ssmmessages:CreateControlChannel, "
                    "CreateDataChannel, OpenControlChannel and OpenDataChannel as taskRoleArn",
                    "it has no task role, and EnableExecuteCommand needs one");
    }
}

/* What only the execution role can do, so that its lack ends each task before it starts. */
static void check_execution_role(struct doctor *doctor, const cJSON *container)
{
    const char *image = json_text_at(container, "image");
    const char *driver = json_text_at(container, "logConfiguration.logDriver");
    struct ecr_name name;
    bool needed = (image != NULL && ecr_name_parse(image, &name) == 0) || is(driver, "awslogs") ||
                  cJSON_GetArraySize(json_at(container, "secrets")) > 0;
    if (json_text_at(doctor->definition, "executionRoleArn") == NULL &&
        doctor->config->fargate.execution_role == NULL && needed) {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "give it a role with AmazonECSTaskExecutionRolePolicy as executionRoleArn",
                    "it has no execution role: ECS can neither pull '%s' nor write its log",
                    image == NULL ? "" : image);
    }
    if (driver == NULL) {
        doctor_tell(doctor, DOCTOR_ODD, "add a logConfiguration, awslogs for example",
                    "the container has no log: an agent that does not start leaves no word");
    }
}

static void check_container(struct doctor *doctor, const cJSON *container)
{
    const cJSON *essential = json_at(container, "essential");
    if (cJSON_IsFalse(essential)) {
        doctor_tell(doctor, DOCTOR_ODD, "make it essential, so that its end is the task's",
                    "the container is not essential");
    }
    if (json_at(container, "healthCheck") == NULL) {
        doctor_tell(doctor, DOCTOR_ODD, HEALTH_REMEDY_ARG, "the container has no health check");
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "health check");
    }
    check_port(doctor, container);
    check_end(doctor, container);
    check_execution_role(doctor, container);
    check_task_role(doctor);
    doctor_check_image(doctor, container);
}

static void judge(struct doctor *doctor)
{
    const char *wanted = doctor->config->fargate.container_name;
    const char *arn = json_text_at(doctor->definition, "taskDefinitionArn");
    const char *status = json_text_at(doctor->definition, "status");
    if (is(status, "INACTIVE")) {
        doctor_tell(doctor, DOCTOR_WRONG, "register it again, or name another revision",
                    "task definition '%s' is INACTIVE", arn == NULL ? "" : arn);
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "task definition '%s'", arn == NULL ? "" : arn);
    check_kind(doctor);
    const cJSON *container = doctor_container(doctor->definition, wanted);
    if (container == NULL) {
        char all[NAMES_BYTES];
        name_containers(doctor, all);
        doctor_tell(doctor, DOCTOR_WRONG,
                    "set [Fargate] ContainerName to the one that runs the job",
                    "it has no container '%s'; there are: %s", wanted, all);
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "container '%s'", wanted);
    check_container(doctor, container);
}

void doctor_check_definition(struct doctor *doctor)
{
    struct error err = {0};
    if (doctor->client == NULL) {
        doctor_tell(doctor, DOCTOR_UNKNOWN, NULL, "task definition");
        return;
    }
    if (doctor_find_definition(doctor, &err) < 0) {
        doctor_tell_error(
            doctor, &err,
            strstr(err.message, "; ") != NULL
                ? NULL
                : "check [Fargate] TaskDefinition and Region, or register it: aws ecs "
                  "register-task-definition");
        return;
    }
    judge(doctor);
}
