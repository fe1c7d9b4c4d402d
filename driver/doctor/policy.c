/* SPDX-License-Identifier: MIT */
#include "driver/doctor/policy.h"

#include <stdio.h>
#include <string.h>

#include "driver/aws/service.h"
#include "driver/doctor/doctor.h"
#include "driver/doctor/ecr_name.h"
#include "driver/json.h"

#define ARN_BYTES 512

static const char *cluster_name(const struct policy_scope *scope)
{
    const char *name = scope->config->fargate.cluster;
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

static void add_arn(const struct policy_scope *scope, const char *service, const char *region,
                    const char *resource, cJSON *out, bool *ok)
{
    json_append_format(out, ok, "arn:%s:%s:%s:%s:%s", aws_partition(scope->region), service, region,
                       scope->account, resource);
}

static void cluster_arn(const struct policy_scope *scope, char *out, size_t room)
{
    (void)snprintf(out, room, "arn:%s:ecs:%s:%s:cluster/%s", aws_partition(scope->region),
                   scope->region, scope->account, cluster_name(scope));
}

/* "FAMILY" means each of its revisions, "FAMILY:7" that one. */
static void add_definition(const struct policy_scope *scope, const char *name, cJSON *out, bool *ok)
{
    char resource[ARN_BYTES];
    if (strncmp(name, "arn:", 4) == 0) {
        json_append(out, name, ok);
        return;
    }
    (void)snprintf(resource, sizeof(resource), "task-definition/%s%s", name,
                   strchr(name, ':') == NULL ? ":*" : "");
    add_arn(scope, "ecs", scope->region, resource, out, ok);
}

static void task_definitions(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const struct config_fargate *fargate = &scope->config->fargate;
    if (fargate->task_definition != NULL) {
        add_definition(scope, fargate->task_definition, out, ok);
    }
    for (size_t i = 0; i < fargate->allowed_task_definitions.count; i++) {
        add_definition(scope, fargate->allowed_task_definitions.entries[i], out, ok);
    }
}

static void tasks(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    char resource[ARN_BYTES];
    (void)snprintf(resource, sizeof(resource), "task/%s/*", cluster_name(scope));
    add_arn(scope, "ecs", scope->region, resource, out, ok);
}

static void cluster(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    char arn[ARN_BYTES];
    cluster_arn(scope, arn, sizeof(arn));
    json_append(out, arn, ok);
}

static void add_role(const struct policy_scope *scope, const char *role, cJSON *out, bool *ok)
{
    char resource[ARN_BYTES];
    const cJSON *known = NULL;
    if (role == NULL) {
        return;
    }
    cJSON_ArrayForEach(known, out)
    {
        if (strcmp(known->valuestring, role) == 0) {
            return;
        }
    }
    if (strncmp(role, "arn:", 4) == 0) {
        json_append(out, role, ok);
        return;
    }
    (void)snprintf(resource, sizeof(resource), "role/%s", role);
    add_arn(scope, "iam", "", resource, out, ok);
}

static void add_roles(const struct policy_scope *scope, const struct config_list *list, cJSON *out,
                      bool *ok)
{
    for (size_t i = 0; i < list->count; i++) {
        add_role(scope, list->entries[i], out, ok);
    }
}

static void roles(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const struct config_fargate *fargate = &scope->config->fargate;
    add_role(scope, json_text_at(scope->definition, "executionRoleArn"), out, ok);
    add_role(scope, json_text_at(scope->definition, "taskRoleArn"), out, ok);
    add_role(scope, fargate->execution_role, out, ok);
    add_role(scope, fargate->task_role, out, ok);
    add_roles(scope, &fargate->allowed_execution_roles, out, ok);
    add_roles(scope, &fargate->allowed_task_roles, out, ok);
    if (scope->definition == NULL && cJSON_GetArraySize(out) == 0) {
        add_role(scope, "*", out, ok);
    }
}

/* That of the job container's image, when it is in ECR; any of this account as long as the task
 * definition is not known. */
static void repository(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const cJSON *container =
        doctor_container(scope->definition, scope->config->fargate.container_name);
    const char *image = json_text_at(container, "image");
    struct ecr_name name;
    if (scope->definition == NULL) {
        add_arn(scope, "ecr", scope->region, "repository/*", out, ok);
    } else if (image != NULL && ecr_name_parse(image, &name) == 0) {
        json_append_format(out, ok, "arn:%s:ecr:%s:%s:repository/%s", aws_partition(name.region),
                           name.region, name.account, name.repository);
    }
}

static void own_principal(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    char arn[ARN_BYTES];
    if (scope->caller == NULL || strstr(scope->caller, ":assumed-role/") == NULL) {
        add_role(scope, "*", out, ok); /* asked by a person: the runner's role may be any */
        return;
    }
    policy_principal(scope->caller, arn, sizeof(arn));
    json_append(out, arn, ok);
}

static bool tags_tasks(const struct config *config)
{
    return config->fargate.tags.count > 0 || config->fargate.propagate_tags ||
           config->fargate.managed_tags;
}

static bool asks_for_public_address(const struct config *config)
{
    return config->fargate.use_public_ip == CONFIG_YES;
}

static const struct policy_row rows[] = {
    {"Launch", {"ecs:RunTask"}, task_definitions, "ArnEquals", "ecs:cluster", NULL, NULL, false},
    {"WatchAndStop", {"ecs:DescribeTasks", "ecs:StopTask"}, tasks, NULL, NULL, NULL, NULL, false},
    {"Find", {"ecs:ListTasks"}, NULL, "ArnEquals", "ecs:cluster", NULL, NULL, false},
    {"Tag",
     {"ecs:TagResource"},
     tasks,
     "StringEquals",
     "ecs:CreateAction",
     "RunTask",
     tags_tasks,
     false},
    {"GiveRoles",
     {"iam:PassRole"},
     roles,
     "StringEquals",
     "iam:PassedToService",
     "ecs-tasks.amazonaws.com",
     NULL,
     false},
    {"FindAddress",
     {"ec2:DescribeNetworkInterfaces"},
     NULL,
     NULL,
     NULL,
     NULL,
     asks_for_public_address,
     false},
    {"DoctorCluster", {"ecs:DescribeClusters"}, cluster, NULL, NULL, NULL, NULL, true},
    {"DoctorLooks",
     {"ecs:DescribeTaskDefinition", "ec2:DescribeSubnets", "ec2:DescribeRouteTables",
      "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups"},
     NULL,
     NULL,
     NULL,
     NULL,
     NULL,
     true},
    {"DoctorImage",
     {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
     repository,
     NULL,
     NULL,
     NULL,
     NULL,
     true},
    {"DoctorAsks", {"iam:SimulatePrincipalPolicy"}, own_principal, NULL, NULL, NULL, NULL, true},
};

const struct policy_row *policy_row(const struct config *config, size_t index)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].needed != NULL && !rows[i].needed(config)) {
            continue;
        }
        if (index-- == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

void policy_condition(const struct policy_scope *scope, const struct policy_row *row, char *out,
                      size_t room)
{
    if (row->value != NULL) {
        (void)snprintf(out, room, "%s", row->value);
    } else {
        cluster_arn(scope, out, room);
    }
}

void policy_principal(const char *caller, char *out, size_t room)
{
    const char *assumed = strstr(caller, ":assumed-role/");
    const char *account = strstr(caller, ":sts:");
    (void)snprintf(out, room, "%s", caller);
    if (assumed == NULL || account == NULL) {
        return;
    }
    account += strlen(":sts:");
    const char *name = assumed + strlen(":assumed-role/");
    (void)snprintf(out, room, "%.*s:iam:%.*s:role/%.*s", (int)(account - 5 - caller), caller,
                   (int)(assumed - account), account, (int)strcspn(name, "/"), name);
}

/* A statement without a resource would be refused by IAM: such a row says nothing. */
static void add_statement(const struct policy_scope *scope, const struct policy_row *row,
                          cJSON *statements, bool *ok)
{
    char value[ARN_BYTES];
    cJSON *resources = cJSON_CreateArray();
    if (row->resources != NULL) {
        row->resources(scope, resources, ok);
    } else {
        json_append(resources, "*", ok);
    }
    if (resources == NULL || cJSON_GetArraySize(resources) == 0) {
        cJSON_Delete(resources);
        return;
    }
    cJSON *statement = cJSON_CreateObject();
    *ok = *ok && cJSON_AddItemToArray(statements, statement);
    json_text(statement, "Sid", row->sid, ok);
    json_text(statement, "Effect", "Allow", ok);
    cJSON *actions = json_array(statement, "Action", ok);
    for (size_t i = 0; i < POLICY_ACTIONS && row->actions[i] != NULL; i++) {
        json_append(actions, row->actions[i], ok);
    }
    *ok = *ok && cJSON_AddItemToObject(statement, "Resource", resources);
    if (row->test != NULL) {
        policy_condition(scope, row, value, sizeof(value));
        cJSON *test = json_object(json_object(statement, "Condition", ok), row->test, ok);
        json_text(test, row->key, value, ok);
    }
}

cJSON *policy_make(const struct policy_scope *scope)
{
    bool ok = true;
    cJSON *policy = cJSON_CreateObject();
    json_text(policy, "Version", "2012-10-17", &ok);
    cJSON *statements = json_array(policy, "Statement", &ok);
    const struct policy_row *row = NULL;
    for (size_t i = 0; (row = policy_row(scope->config, i)) != NULL; i++) {
        add_statement(scope, row, statements, &ok);
    }
    if (!ok) {
        cJSON_Delete(policy);
        return NULL;
    }
    return policy;
}
