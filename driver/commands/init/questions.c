/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include "driver/commands/init/init.h"

/* Asked in this order. In the file a section has all its keys where its first one is. */
const struct init_question init_questions[] = {
    {NULL, NULL, "Backend", "Where do tasks run (local, docker or ecs)?", "ecs", INIT_NONE, NULL},
    {NULL, NULL, "CancelGrace", NULL, "10s", INIT_NONE, NULL},
    {NULL, NULL, "LogLevel", NULL, "info", INIT_NONE, NULL},
    {"ecs", "Fargate", "Region", "AWS region?", NULL, INIT_NONE, NULL},
    {"ecs", "Fargate", "Cluster", "ECS cluster?", NULL, INIT_CLUSTERS, NULL},
    {"ecs", "Fargate", "TaskDefinition", "Task definition?", NULL, INIT_FAMILIES, NULL},
    {"ecs", "Fargate", "ContainerName", "Container that runs the job?", "ci-coordinator", INIT_NONE,
     NULL},
    {"ecs", "Fargate", "Subnets", "Subnets (comma-separated)?", NULL, INIT_SUBNETS, NULL},
    {"ecs", "Fargate", "SecurityGroups", "Security groups of the tasks (comma-separated)?", "",
     INIT_GROUPS, NULL},
    {"ecs", "Fargate", "EnablePublicIP",
     "Assign public IP addresses to tasks (subnets with an Internet gateway and no NAT)?", "no",
     INIT_NONE, NULL},
    {"ecs", "Fargate", "UsePublicIP",
     "Connect to the public address (this host is outside the VPC)?", "no", INIT_NONE, NULL},
    {"ecs", "Fargate", "Spot", "Use Fargate Spot (cheaper, may be interrupted)?", "no", INIT_NONE,
     NULL},
    {"ecs", "Helper", "AgentImage",
     "Image with the agent, for jobs with 'image:' and 'services:' of their own "
     "(the command 'push-agent' pushes it and prints its name; none: not yet)?",
     "", INIT_NONE, NULL},
    {"ecs", "Fargate", "Image",
     "Image of jobs without 'image:' (none: they run in the task definition as it is)?", "",
     INIT_NONE, "AgentImage"},
    {"ecs", "Fargate", "AllowedImages",
     "Images that jobs may name with 'image:' (* any text without /, ** any text)?", "**",
     INIT_NONE, "AgentImage"},
    {"ecs", "Fargate", "AllowedServices", "Images that jobs may name with 'services:'?", "**",
     INIT_NONE, "AgentImage"},
    {"ecs", "Fargate", "Tags", NULL, "project=$CI_PROJECT_PATH, job=$CI_JOB_URL", INIT_NONE, NULL},
    {"ecs", "Fargate", "MaxCpu", NULL, "4096", INIT_NONE, NULL},
    {"ecs", "Fargate", "MaxMemory", NULL, "16384", INIT_NONE, NULL},
    {"docker", "Docker", "Image", "Image of jobs without 'image:'?", "debian:12", INIT_NONE, NULL},
    {"docker", "Docker", "AllowedImages",
     "Images that jobs may name with 'image:' (* any text without /, ** any text)?", "**",
     INIT_NONE, NULL},
    {"docker", "Docker", "AllowedServices", "Images that jobs may name with 'services:'?", "**",
     INIT_NONE, NULL},
    {"docker", "Docker", "Memory", "Memory limit of one job, such as 4GiB?", "", INIT_NONE, NULL},
    {"docker", "Docker", "CPUs", "CPU limit of one job, such as 2?", "", INIT_NONE, NULL},
    {"docker", "Docker", "Volumes", NULL, "cache:/cache", INIT_NONE, NULL},
    {"local", "Local", "Directory", "Directory for the jobs' files?", "/var/lib/berth/local",
     INIT_NONE, NULL},
    {NULL, "TaskMetadata", "Directory", "Directory for the metadata of running jobs?",
     "/opt/gitlab-runner/metadata", INIT_NONE, NULL},
    {"ecs", "SSH", "Username", NULL, "root", INIT_NONE, NULL},
    {"ecs", "SSH", "Port", "SSH port of the tasks?", "22", INIT_NONE, NULL},
    {"ecs", "SSH", "HostKey",
     "Host keys: strict (every image has berth-agent) or accept-new (some have sshd)?",
     "accept-new", INIT_NONE, NULL},
    {"ecs", "Price", "VcpuHour", NULL, "0.04", INIT_NONE, NULL},
    {"ecs", "Price", "GibHour", NULL, "0.004", INIT_NONE, NULL},
};

const size_t init_question_count = sizeof(init_questions) / sizeof(init_questions[0]);

_Static_assert(sizeof(init_questions) / sizeof(init_questions[0]) <= INIT_QUESTIONS,
               "an answer for each question");

const char *init_answer(const struct init_dialog *init, const char *key)
{
    for (size_t i = 0; i < init_question_count; i++) {
        if (strcmp(init_questions[i].key, key) == 0 && init_applies(init, &init_questions[i])) {
            return init->answers[i];
        }
    }
    return "";
}

bool init_applies(const struct init_dialog *init, const struct init_question *question)
{
    /* The first answer is the backend. */
    return question->backend == NULL || strcasecmp(question->backend, init->answers[0]) == 0;
}

bool init_is_asked(const struct init_dialog *init, const struct init_question *question)
{
    return question->question != NULL && init_applies(init, question) &&
           (question->needs == NULL || init_answer(init, question->needs)[0] != '\0');
}
