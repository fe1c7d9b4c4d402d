/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/policy.h"

#include <stdio.h>
#include <string.h>

#include "driver/aws/service.h"
#include "driver/backend/ecs/capacity.h"
#include "driver/backend/ecs/generated.h"
#include "driver/backend/ecs/log_events.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/task_definition.h"
#include "driver/registry/ecr_name.h"

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

/* The families of generated definitions. */
static void generated(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    add_definition(scope, "berth-*", out, ok);
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
    if (ecs_generates(scope->config)) {
        generated(scope, out, ok);
    }
}

/* Those whose kind only ECS knows. */
static void providers(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const struct config_list *list = &scope->config->fargate.capacity_providers;
    char resource[ECS_PROVIDER_BYTES + 32];
    char name[ECS_PROVIDER_BYTES];
    for (size_t i = 0; i < list->count; i++) {
        if (!ecs_provider_is_fargate(list->entries[i])) {
            ecs_provider_name(list->entries[i], name);
            (void)snprintf(resource, sizeof(resource), "capacity-provider/%s", name);
            add_arn(scope, "ecs", scope->region, resource, out, ok);
        }
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

/* The ECR repository of the job's image; any of this account if the task definition is not known.
 */
static void repository(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const cJSON *container =
        task_definition_container(scope->definition, scope->config->fargate.container_name);
    const char *image = json_text_at(container, "image");
    struct ecr_name name;
    if (scope->definition == NULL) {
        add_arn(scope, "ecr", scope->region, "repository/*", out, ok);
    } else if (image != NULL && ecr_name_parse(image, &name) == 0) {
        json_append_format(out, ok, "arn:%s:ecr:%s:%s:repository/%s", aws_partition(name.region),
                           name.region, name.account, name.repository);
    }
}

/* The log group that is read for 'berth-driver logs' and for services, whose containers have the
 * job's logConfiguration. */
static void log_streams(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    char rest[ECS_LOG_NAME_BYTES + 32];
    struct ecs_log_place place;
    const struct config_fargate *fargate = &scope->config->fargate;
    bool has_base = fargate->task_definition != NULL;
    const char *group = has_base ? NULL : fargate->log_group;
    if (ecs_log_place_find(scope->definition, fargate->container_name, "", NULL, &place)) {
        group = place.group;
    }
    if (has_base && scope->definition == NULL) {
        add_arn(scope, "logs", scope->region, "log-group:*", out, ok);
    } else if (group != NULL) {
        (void)snprintf(rest, sizeof(rest), "log-group:%s:log-stream:*", group);
        add_arn(scope, "logs", scope->region, rest, out, ok);
    }
}

/* --- images that are looked up before a launch --- */

/* A name or pattern of an image in ECR: its repository. '**' is '*' to IAM. */
static void add_repository(const char *image, cJSON *out, bool *ok)
{
    char registry[ARN_BYTES];
    char path[ARN_BYTES];
    struct ecr_name name;
    size_t length = strcspn(image, "/");
    size_t used = 0;
    (void)snprintf(registry, sizeof(registry), "%.*s/x", (int)(length < 300 ? length : 300), image);
    if (image[length] == '\0' || ecr_name_parse(registry, &name) < 0) {
        return;
    }
    for (const char *at = image + length + 1; *at != '\0' && *at != ':' && *at != '@'; at++) {
        if ((*at != '*' || at[1] != '*') && used + 1 < sizeof(path)) {
            path[used++] = *at;
        }
    }
    path[used] = '\0';
    json_append_format(out, ok, "arn:%s:ecr:%s:%s:repository/%s", aws_partition(name.region),
                       name.region, name.account, path);
}

static void add_repositories(const struct config_list *patterns, cJSON *out, bool *ok)
{
    for (size_t i = 0; i < patterns->count; i++) {
        add_repository(patterns->entries[i], out, ok);
    }
}

static void looked_up(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    const struct config *config = scope->config;
    const char *const names[] = {config->helper.agent_image, config->helper.image,
                                 config->fargate.image};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i] != NULL) {
            add_repository(names[i], out, ok);
        }
    }
    for (size_t i = 0; i < config->fargate.image_rewrite.count; i++) {
        const char *to = strchr(config->fargate.image_rewrite.entries[i], '=');
        char pattern[ARN_BYTES];
        size_t length = to == NULL ? 0 : strlen(to + 1);
        (void)snprintf(pattern, sizeof(pattern), "%.400s%s**", to == NULL ? "" : to + 1,
                       length > 0 && to[length] == '/' ? "" : "/");
        add_repository(pattern, out, ok);
    }
    add_repositories(&config->fargate.allowed_images, out, ok);
    add_repositories(&config->fargate.allowed_services, out, ok);
}

static bool looks_up_in_ecr(const struct config *config)
{
    bool ok = true;
    if (!ecs_generates(config)) {
        return false;
    }
    const struct policy_scope scope = {config, "", "", NULL, NULL};
    cJSON *repositories = cJSON_CreateArray();
    looked_up(&scope, repositories, &ok);
    bool any = cJSON_GetArraySize(repositories) > 0;
    cJSON_Delete(repositories);
    return any;
}

static void own_principal(const struct policy_scope *scope, cJSON *out, bool *ok)
{
    char arn[ARN_BYTES];
    bool is_role = scope->caller != NULL && strstr(scope->caller, ":assumed-role/") != NULL;
    /* Roles of IAM Identity Center are people's. */
    if (!is_role || strstr(scope->caller, ":assumed-role/AWSReservedSSO_") != NULL) {
        add_role(scope, "*", out, ok); /* run by a user: the runner's role is not known */
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

/* A warm task gets the job's tags when it is claimed, not by RunTask. */
static bool tags_claimed_tasks(const struct config *config)
{
    return config->warm_count > 0 && config->fargate.tags.count > 0;
}

static bool tags_definitions(const struct config *config)
{
    return ecs_generates(config) && config->fargate.propagate_tags &&
           config->fargate.task_definition != NULL;
}

static bool asks_about_providers(const struct config *config)
{
    return ecs_generates(config) && ecs_capacity_is_asked(config);
}

static bool asks_for_public_address(const struct config *config)
{
    const struct config_fargate *fargate = &config->fargate;
    return fargate->use_public_ip == CONFIG_YES ||
           (fargate->use_public_ip == CONFIG_UNSET && fargate->enable_public_ip);
}

static const struct policy_row rows[] = {
    {.sid = "Launch",
     .actions = {"ecs:RunTask"},
     .resources = task_definitions,
     .test = "ArnEquals",
     .key = "ecs:cluster"},
    {.sid = "WatchAndStop", .actions = {"ecs:DescribeTasks", "ecs:StopTask"}, .resources = tasks},
    {.sid = "Find", .actions = {"ecs:ListTasks"}, .test = "ArnEquals", .key = "ecs:cluster"},
    {.sid = "Tag",
     .actions = {"ecs:TagResource"},
     .resources = tasks,
     .test = "StringEquals",
     .key = "ecs:CreateAction",
     .value = "RunTask",
     .needed = tags_tasks},
    {.sid = "TagWarmTasks",
     .actions = {"ecs:TagResource"},
     .resources = tasks,
     .needed = tags_claimed_tasks},
    {.sid = "Generate",
     .actions = {"ecs:RegisterTaskDefinition", "ecs:DeleteTaskDefinitions"},
     .resources = generated,
     .needed = ecs_generates},
    {.sid = "Generated",
     .actions = {"ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition",
                 "ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions"},
     .needed = ecs_generates},
    {.sid = "AskProviders",
     .actions = {"ecs:DescribeCapacityProviders"},
     .resources = providers,
     .needed = asks_about_providers},
    {.sid = "TagGenerated",
     .actions = {"ecs:TagResource"},
     .resources = generated,
     .test = "StringEquals",
     .key = "ecs:CreateAction",
     .value = "RegisterTaskDefinition",
     .needed = tags_definitions},
    {.sid = "GiveRoles",
     .actions = {"iam:PassRole"},
     .resources = roles,
     .test = "StringEquals",
     .key = "iam:PassedToService",
     .value = "ecs-tasks.amazonaws.com"},
    {.sid = "FindAddress",
     .actions = {"ec2:DescribeNetworkInterfaces"},
     .needed = asks_for_public_address},
    {.sid = "LogInToEcr", .actions = {"ecr:GetAuthorizationToken"}, .needed = looks_up_in_ecr},
    {.sid = "LookAtImages",
     .actions = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
     .resources = looked_up,
     .needed = looks_up_in_ecr},
    {.sid = "DoctorCluster",
     .actions = {"ecs:DescribeClusters"},
     .resources = cluster,
     .of_doctor = true},
    {.sid = "DoctorLooks",
     .actions = {"ecs:DescribeTaskDefinition", "ec2:DescribeSubnets", "ec2:DescribeRouteTables",
                 "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups"},
     .of_doctor = true},
    {.sid = "DoctorImage",
     .actions = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
     .resources = repository,
     .of_doctor = true},
    {.sid = "ReadLogs",
     .actions = {"logs:GetLogEvents"},
     .resources = log_streams,
     .of_doctor = true},
    {.sid = "DoctorAsks",
     .actions = {"iam:SimulatePrincipalPolicy"},
     .resources = own_principal,
     .of_doctor = true},
};

/* What 'push-agent' needs; no runner does. */
static const struct policy_row push_rows[] = {
    {.sid = "PushLayers",
     .actions = {"ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload",
                 "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"}},
    {.sid = "PushImages", .actions = {"ecr:DescribeRepositories", "ecr:PutImage"}},
    {.sid = "CreateRepository", .actions = {"ecr:CreateRepository"}}, /* the last: not always */
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

bool policy_row_is_optional(const struct config *config, const struct policy_row *row)
{
    return row->needed == looks_up_in_ecr ||
           (row->needed == asks_for_public_address && config->fargate.use_public_ip != CONFIG_YES);
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

/* Takes 'resources'. IAM refuses a statement without one: such a row is left out. */
static cJSON *add_row(const struct policy_row *row, cJSON *resources, cJSON *statements, bool *ok)
{
    if (resources == NULL || cJSON_GetArraySize(resources) == 0) {
        cJSON_Delete(resources);
        return NULL;
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
    return statement;
}

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
    cJSON *statement = add_row(row, resources, statements, ok);
    if (statement != NULL && row->test != NULL) {
        policy_condition(scope, row, value, sizeof(value));
        cJSON *test = json_object(json_object(statement, "Condition", ok), row->test, ok);
        json_text(test, row->key, value, ok);
    }
}

cJSON *policy_make_push(const char *region, const char *account, const char *repository,
                        bool creates)
{
    bool ok = true;
    cJSON *policy = cJSON_CreateObject();
    json_text(policy, "Version", "2012-10-17", &ok);
    cJSON *statements = json_array(policy, "Statement", &ok);
    size_t count = sizeof(push_rows) / sizeof(push_rows[0]) - (creates ? 0 : 1);
    for (size_t i = 0; i < count; i++) {
        cJSON *resources = cJSON_CreateArray();
        json_append_format(resources, &ok, "arn:%s:ecr:%s:%s:repository/%s", aws_partition(region),
                           region, account, repository);
        (void)add_row(&push_rows[i], resources, statements, &ok);
    }
    if (!ok) {
        cJSON_Delete(policy);
        return NULL;
    }
    return policy;
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
