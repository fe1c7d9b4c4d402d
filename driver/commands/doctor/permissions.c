/* SPDX-License-Identifier: MIT */
/*
 * Whether each action of the policy is allowed. IAM simulates it (SimulatePrincipalPolicy: identity
 * policies, boundary and SCPs; not session policies). If that is not allowed, calls without an
 * effect are made: with a task and a revision that do not exist, and with EC2's DryRun. There are
 * none for iam:PassRole and ecs:TagResource.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/aws/failure.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"
#include "driver/commands/doctor/policy.h"

#define NO_SUCH_TASK     "00000000000000000000000000000000"
#define NO_SUCH_REVISION 2147483647

enum answer { ALLOWED, DENIED, NOT_KNOWN };

static void report(struct doctor *doctor, const struct policy_row *row, const char *action,
                   enum answer answer, const char *what)
{
    bool optional = policy_row_is_optional(doctor->config, row);
    if (answer == ALLOWED) {
        doctor_report(doctor, DOCTOR_OK, NULL, "%s is allowed", action);
    } else if (answer == DENIED) {
        doctor_report(doctor, optional ? DOCTOR_WARN : DOCTOR_FAIL, program_policy_hint(),
                      "%s is not allowed%s%s", action, what[0] != '\0' ? " on " : "", what);
    } else {
        doctor_report(doctor, DOCTOR_UNKNOWN, NULL, "%s: %s", action, what);
    }
}

/* --- by simulation --- */

/* -1: IAM does not answer. */
static int simulate(struct doctor *doctor, const struct policy_scope *scope,
                    const struct policy_row *row, const char *action, const char *resource,
                    enum answer *out_answer, struct error *err)
{
    char principal[DOCTOR_ARN_BYTES];
    char value[DOCTOR_ARN_BYTES] = "";
    struct aws_failure failure;
    cJSON *answer = NULL;
    policy_principal(doctor->caller, principal, sizeof(principal));
    if (row->test != NULL) {
        policy_condition(scope, row, value, sizeof(value));
    }
    const char *const parameters[] = {
        "PolicySourceArn", principal, "ActionNames.member.1", action, "ResourceArns.member.1",
        resource,
        /* What follows is left out where the row has no condition. */
        row->test != NULL ? "ContextEntries.member.1.ContextKeyName" : NULL, row->key,
        "ContextEntries.member.1.ContextKeyType", "string",
        "ContextEntries.member.1.ContextKeyValues.member.1", value, NULL};
    if (doctor_query(doctor, AWS_IAM, "SimulatePrincipalPolicy", parameters, &answer, &failure,
                     err) < 0) {
        return -1;
    }
    const cJSON *result =
        cJSON_GetArrayItem(json_at(answer, "SimulatePrincipalPolicyResult.EvaluationResults"), 0);
    const char *decision = json_text_at(result, "EvalDecision");
    *out_answer = decision != NULL && strcmp(decision, "allowed") == 0 ? ALLOWED : DENIED;
    int known = decision != NULL ? 0 : error_set(err, ERROR_PEER, 0, "IAM gave no decision");
    cJSON_Delete(answer);
    return known;
}

/* Each action on each resource, until one is denied. */
static int simulate_row(struct doctor *doctor, const struct policy_scope *scope,
                        const struct policy_row *row, const cJSON *resources, struct error *err)
{
    for (size_t i = 0; i < POLICY_ACTIONS && row->actions[i] != NULL; i++) {
        enum answer answer = ALLOWED;
        const cJSON *resource = NULL;
        const char *denied = "";
        cJSON_ArrayForEach(resource, resources)
        {
            if (answer == ALLOWED && simulate(doctor, scope, row, row->actions[i],
                                              resource->valuestring, &answer, err) < 0) {
                return -1;
            }
            denied = answer == DENIED && denied[0] == '\0' ? resource->valuestring : denied;
        }
        report(doctor, row, row->actions[i], answer, denied);
    }
    return 0;
}

/* --- by calls without an effect --- */

/* AWS checks permissions first, so any other refusal means allowed. */
static enum answer judge(int result, const struct aws_failure *failure)
{
    if (result == 0) {
        return ALLOWED;
    }
    if (failure->status == 0 || failure->code[0] == '\0') {
        return NOT_KNOWN;
    }
    return aws_meaning(failure->status, failure->code) == AWS_NOT_ALLOWED ? DENIED : ALLOWED;
}

static enum answer try_ecs(struct doctor *doctor, const char *operation, cJSON *request, bool ok,
                           struct error *err)
{
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    if (!ok) {
        cJSON_Delete(request);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "no memory");
        return NOT_KNOWN;
    }
    int result = doctor_ecs(doctor, operation, request, &answer, &failure, err);
    cJSON_Delete(request);
    cJSON_Delete(answer);
    return judge(result, &failure);
}

static cJSON *request_about(const struct doctor *doctor, bool *ok)
{
    cJSON *request = cJSON_CreateObject();
    json_text(request, "cluster", doctor->config->fargate.cluster, ok);
    return request;
}

static enum answer try_run(struct doctor *doctor, struct error *err)
{
    char name[DOCTOR_ARN_BYTES];
    bool ok = true;
    const char *family = doctor->config->fargate.task_definition;
    const struct config_list *subnets = &doctor->config->fargate.subnets;
    if (family == NULL || strchr(family, ':') != NULL || subnets->count == 0) {
        (void)error_set(err, ERROR_NONE, 0,
                        "cannot be tried without a launch if TaskDefinition names a revision");
        return NOT_KNOWN;
    }
    (void)snprintf(name, sizeof(name), "%s:%d", family, NO_SUCH_REVISION);
    cJSON *request = request_about(doctor, &ok);
    json_text(request, "taskDefinition", name, &ok);
    json_text(request, "launchType", "FARGATE", &ok);
    cJSON *network =
        json_object(json_object(request, "networkConfiguration", &ok), "awsvpcConfiguration", &ok);
    json_append(json_array(network, "subnets", &ok), subnets->entries[0], &ok);
    return try_ecs(doctor, "RunTask", request, ok, err);
}

static enum answer try_describe(struct doctor *doctor, struct error *err)
{
    bool ok = true;
    cJSON *request = request_about(doctor, &ok);
    json_append(json_array(request, "tasks", &ok), NO_SUCH_TASK, &ok);
    return try_ecs(doctor, "DescribeTasks", request, ok, err);
}

static enum answer try_stop(struct doctor *doctor, struct error *err)
{
    bool ok = true;
    cJSON *request = request_about(doctor, &ok);
    json_text(request, "task", NO_SUCH_TASK, &ok);
    return try_ecs(doctor, "StopTask", request, ok, err);
}

static enum answer try_list(struct doctor *doctor, struct error *err)
{
    bool ok = true;
    cJSON *request = request_about(doctor, &ok);
    json_text(request, "startedBy", "berth-doctor", &ok);
    return try_ecs(doctor, "ListTasks", request, ok, err);
}

static enum answer try_providers(struct doctor *doctor, struct error *err)
{
    const struct config_list *list = &doctor->config->fargate.capacity_providers;
    char name[ECS_PROVIDER_BYTES] = "";
    bool ok = true;
    for (size_t i = 0; i < list->count && name[0] == '\0'; i++) {
        if (!ecs_provider_is_fargate(list->entries[i])) {
            ecs_provider_name(list->entries[i], name);
        }
    }
    cJSON *request = request_about(doctor, &ok);
    json_append(json_array(request, "capacityProviders", &ok), name, &ok);
    return try_ecs(doctor, "DescribeCapacityProviders", request, ok, err);
}

static enum answer try_interfaces(struct doctor *doctor, struct error *err)
{
    static const char *const parameters[] = {"DryRun", "true", NULL};
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    int result = doctor_query(doctor, AWS_EC2, "DescribeNetworkInterfaces", parameters, &answer,
                              &failure, err);
    cJSON_Delete(answer);
    return judge(result, &failure);
}

static const struct {
    const char *action;
    enum answer (*attempt)(struct doctor *doctor, struct error *err);
} attempts[] = {
    {"ecs:RunTask", try_run},
    {"ecs:DescribeTasks", try_describe},
    {"ecs:StopTask", try_stop},
    {"ecs:ListTasks", try_list},
    {"ecs:DescribeCapacityProviders", try_providers},
    {"ec2:DescribeNetworkInterfaces", try_interfaces},
};

static void try_action(struct doctor *doctor, const struct policy_row *row, const char *action)
{
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        if (strcmp(attempts[i].action, action) == 0) {
            struct error err = {0};
            enum answer answer = attempts[i].attempt(doctor, &err);
            report(doctor, row, action, answer, answer == NOT_KNOWN ? err.message : "");
            return;
        }
    }
    report(doctor, row, action, NOT_KNOWN,
           "cannot be tried without a launch; allow iam:SimulatePrincipalPolicy to check it");
}

static void try_row(struct doctor *doctor, const struct policy_row *row)
{
    for (size_t i = 0; i < POLICY_ACTIONS && row->actions[i] != NULL; i++) {
        try_action(doctor, row, row->actions[i]);
    }
}

static cJSON *resources_of(const struct policy_scope *scope, const struct policy_row *row)
{
    bool ok = true;
    cJSON *resources = cJSON_CreateArray();
    if (row->resources != NULL) {
        row->resources(scope, resources, &ok);
    } else {
        json_append(resources, "*", &ok);
    }
    return resources;
}

void doctor_check_permissions(struct doctor *doctor)
{
    doctor_print_heading(doctor, "Permissions");
    if (doctor->client == NULL) {
        doctor_report(doctor, DOCTOR_UNKNOWN, NULL, "permissions");
        return;
    }
    struct policy_scope scope = {doctor->config, aws_client_region(doctor->client), doctor->account,
                                 doctor->caller, doctor->definition};
    const struct policy_row *row = NULL;
    bool simulated = true;
    for (size_t i = 0; (row = policy_row(doctor->config, i)) != NULL; i++) {
        struct error err = {0};
        cJSON *resources = resources_of(&scope, row);
        if (row->of_doctor || cJSON_GetArraySize(resources) == 0) {
            /* doctor's own actions are checked by its checks; a task without roles passes none. */
        } else if (!simulated || simulate_row(doctor, &scope, row, resources, &err) < 0) {
            simulated = false;
            try_row(doctor, row);
        }
        cJSON_Delete(resources);
    }
}
