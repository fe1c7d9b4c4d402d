/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <stdio.h>

#include "driver/backend/ecs/ecs.h"
#include "driver/base/program.h"

#define PATTERN_BYTES 64

struct row {
    const char *pattern; /* '*': anything */
    struct ecs_advice advice;
};

/* Stands for program_policy_hint(). */
static const char policy_hint[] = "";

/* The first row whose pattern the text contains, ignoring case, is used: special ones come first.
 * Shortages occur both in refusals and in stopped tasks. */
static const struct row shortages[] = {
    {"capacity is unavailable",
     {ECS_ELSEWHERE, "name more subnets in other zones, or set SpotFallback = true"}},
    {"insufficient capacity", {ECS_ELSEWHERE, "name more subnets in other zones"}},
    {"insufficientfreeaddresses", {ECS_ELSEWHERE, "name more or larger subnets"}},
    {"insufficient free addresses", {ECS_ELSEWHERE, "name more or larger subnets"}},
    {"not enough free addresses", {ECS_ELSEWHERE, "name more or larger subnets"}},
    {"RESOURCE:ENI", {ECS_ELSEWHERE, "name more or larger subnets"}},
    /* "RESOURCE:MEMORY"; not "is not authorized to perform ... on resource: arn:..." */
    {"RESOURCE:[A-Z]",
     {ECS_ELSEWHERE, "no instance of the capacity provider has room; name more subnets in other "
                     "zones, or lower the task's size"}},
};

static const struct row refusals[] = {
    {"above your limit",
     {ECS_PERMANENT,
      "ask for a higher quota of Fargate vCPUs, or lower the runner's 'concurrent'"}},
    {"reached the limit",
     {ECS_PERMANENT,
      "ask for a higher quota of Fargate vCPUs, or lower the runner's 'concurrent'"}},
    {"cluster not found", {ECS_PERMANENT, "check [Fargate] Cluster and Region"}},
    {"cluster is inactive", {ECS_PERMANENT, "check [Fargate] Cluster and Region"}},
    {"No Container Instances*capacity provider",
     {ECS_PERMANENT, "the capacity provider has no EC2 instances; set [Fargate] "
                     "LaunchType = \"FARGATE\", or CapacityProviders"}},
    {"No Container Instances",
     {ECS_PERMANENT, "the cluster has no such capacity; set [Fargate] LaunchType = \"FARGATE\""}},
    {"capacity provider",
     {ECS_PERMANENT, "add the capacity provider to the cluster with 'aws ecs "
                     "put-cluster-capacity-providers'"}},
    {"public IP is not supported",
     {ECS_PERMANENT, "set EnablePublicIP = false: only tasks on Fargate get public addresses"}},
    {"requires*execution role",
     {ECS_PERMANENT, "set [Fargate] ExecutionRole, or executionRoleArn in the task definition"}},
    {"support launch_type MANAGED_INSTANCES",
     {ECS_PERMANENT,
      "name the capacity provider in [Fargate] CapacityProviders if the cluster's default strategy "
      "chose it, and MANAGED_INSTANCES in requiresCompatibilities of a task definition of your "
      "own; "
      "or set [Fargate] LaunchType = \"FARGATE\""}},
    {"override for container named",
     {ECS_PERMANENT, "set [Fargate] ContainerName to the container that runs the job"}},
    {"TaskDefinition",
     {ECS_PERMANENT,
      "check [Fargate] TaskDefinition and the job variable FARGATE_TASK_DEFINITION"}},
    {"task definition",
     {ECS_PERMANENT,
      "check [Fargate] TaskDefinition and the job variable FARGATE_TASK_DEFINITION"}},
    {"No Fargate configuration",
     {ECS_PERMANENT, "CPU and memory must be one of Fargate's pairs; check FARGATE_CPU and "
                     "FARGATE_MEMORY"}},
    {"iam:PassRole", {ECS_PERMANENT, "allow the runner iam:PassRole for the task's roles"}},
    {"not authorized to perform", {ECS_PERMANENT, policy_hint}},
    {"AccessDenied", {ECS_PERMANENT, policy_hint}},
    {"platform version", {ECS_PERMANENT, "check [Fargate] PlatformVersion"}},
    {"subnet", {ECS_PERMANENT, "check [Fargate] Subnet: it must be in Region"}},
    {"security group",
     {ECS_PERMANENT, "check [Fargate] SecurityGroup: it must be in the same VPC"}},
};

#define NO_IMAGE "check the image's name and tag, in 'image:' of the job or in the task definition"
#define NO_USER \
    "the image has no such user or group; check 'user:' of the job's image, or use numbers"

#define CACHE_RIGHTS                                                                          \
    "allow the execution role ecr:BatchImportUpstreamImage and ecr:CreateRepository for the " \
    "repositories of the pull-through cache"
#define SECRET_RIGHTS                                                                       \
    "allow the execution role secretsmanager:GetSecretValue for the secrets that the task " \
    "definition and [Fargate] RegistrySecrets name, and check that they exist"

static const struct row stops[] = {
    {"manifest unknown", {ECS_PERMANENT, NO_IMAGE}},
    {"CannotPull*: not found", {ECS_PERMANENT, NO_IMAGE}},
    {"unable to find user", {ECS_PERMANENT, NO_USER}},
    {"unable to find group", {ECS_PERMANENT, NO_USER}},
    {"no users found", {ECS_PERMANENT, NO_USER}},
    {"no groups found", {ECS_PERMANENT, NO_USER}},
    {"CannotPull*descriptor matching platform",
     {ECS_PERMANENT, "build the image with 'docker build --platform' for the cpuArchitecture of "
                     "the task definition"}},
    {"ecr:BatchImportUpstreamImage", {ECS_UNKNOWN, CACHE_RIGHTS}},
    {"ecr:CreateRepository", {ECS_UNKNOWN, CACHE_RIGHTS}},
    {"secretsmanager:GetSecretValue", {ECS_UNKNOWN, SECRET_RIGHTS}},
    {"registry auth from asm", {ECS_UNKNOWN, SECRET_RIGHTS}},
    {"CannotPull",
     {ECS_UNKNOWN, "check the image's name, the execution role, and the route from the subnet to "
                   "the registry: a NAT gateway, a public IP or VPC endpoints"}},
    {"ResourceInitializationError",
     {ECS_UNKNOWN,
      "check the execution role, the secrets and log group of the task definition, and "
      "the route from the subnet to AWS: a NAT gateway, a public IP or VPC endpoints"}},
    {"OutOfMemory",
     {ECS_UNKNOWN, "give the task more memory in its definition, by [Fargate] Memory or the job "
                   "variable FARGATE_MEMORY"}},
    {"SpotInterruption",
     {ECS_UNKNOWN, "AWS reclaimed the Spot capacity; 'retry: runner_system_failure' runs the job "
                   "again, Spot = false avoids it"}},
    {"EssentialContainerExited",
     {ECS_UNKNOWN, "check the container's log; if it exited at once, SSH_PUBLIC_KEY may be "
                   "missing: check [Fargate] ContainerName"}},
    {"UserInitiated", {ECS_UNKNOWN, "a user or program called StopTask"}},
};

static const struct ecs_advice *search(const struct row *rows, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        char pattern[PATTERN_BYTES];
        (void)snprintf(pattern, sizeof(pattern), "*%s*", rows[i].pattern);
        if (fnmatch(pattern, text, FNM_CASEFOLD) == 0) {
            return &rows[i].advice;
        }
    }
    return NULL;
}

enum ecs_wants ecs_advice_wants(const char *text)
{
    static const struct row sure[] = {
        {"No Container Instances were found in your cluster", {ECS_UNKNOWN, NULL}},
    };
    static const struct row unsure[] = {
        {"launch_type EC2", {ECS_UNKNOWN, NULL}}, /* "does not support": of the definition */
        {"platform version must be null*EC2 launch type", {ECS_UNKNOWN, NULL}},
        {"public IP is not supported for this launch type", {ECS_UNKNOWN, NULL}},
    };
    return search(sure, sizeof(sure) / sizeof(sure[0]), text) != NULL ? ECS_WANTS_LAUNCH_TYPE
           : search(unsure, sizeof(unsure) / sizeof(unsure[0]), text) != NULL
               ? ECS_WANTS_LAUNCH_TYPE_MAYBE
               : ECS_WANTS_NOTHING;
}

bool ecs_advice_lacks_definition(const char *text)
{
    static const struct row rows[] = {
        {"TaskDefinition*not found", {ECS_UNKNOWN, NULL}},
        {"TaskDefinition*inactive", {ECS_UNKNOWN, NULL}},
        {"task definition*not found", {ECS_UNKNOWN, NULL}},
        {"task definition*inactive", {ECS_UNKNOWN, NULL}},
        {"Unable to describe task definition", {ECS_UNKNOWN, NULL}},
    };
    return search(rows, sizeof(rows) / sizeof(rows[0]), text) != NULL;
}

#define SEARCH(rows, text) search(rows, sizeof(rows) / sizeof((rows)[0]), text)

static struct ecs_advice first(const struct ecs_advice *a, const struct ecs_advice *b)
{
    struct ecs_advice advice = a != NULL   ? *a
                               : b != NULL ? *b
                                           : (struct ecs_advice){ECS_UNKNOWN, NULL};
    advice.hint = advice.hint == policy_hint ? program_policy_hint() : advice.hint;
    return advice;
}

struct ecs_advice ecs_advice_of_refusal(const char *text)
{
    return first(SEARCH(shortages, text), SEARCH(refusals, text));
}

struct ecs_advice ecs_advice_of_stop(const char *text)
{
    return first(SEARCH(shortages, text), SEARCH(stops, text));
}
