/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/backend/ecs/generated.h"
#include "driver/base/json.h"
#include "driver/base/terminal.h"
#include "driver/commands/command.h"
#include "driver/commands/doctor/checks.h"
#include "driver/commands/doctor/policy.h"

#define DOCTOR_MS 120000

static void check_ecs(struct doctor *doctor)
{
    doctor_check_account(doctor);
    doctor_check_cluster(doctor);
    doctor_check_definition(doctor);
    doctor_check_network(doctor);
    doctor_check_generated(doctor);
    doctor_check_permissions(doctor);
}

/* Prints the policy for this configuration. Account and roles are looked up; without an answer the
 * policy is wider, since the runner's role may not exist yet. */
static int print_policy(struct doctor *doctor, struct error *err)
{
    struct error ignored = {0};
    char text[ERROR_TEXT_BYTES];
    const char *region = doctor->config->fargate.region;
    if (doctor_find_account(doctor, &ignored) < 0) {
        log_warn("%s; the account in the policy is '*'", error_text(&ignored, text));
    } else if ((doctor->config->fargate.task_definition != NULL ||
                !ecs_generates(doctor->config)) &&
               doctor_find_definition(doctor, &ignored) < 0) {
        log_warn("%s; the policy allows iam:PassRole for any role", error_text(&ignored, text));
    }
    if (doctor->client != NULL) {
        region = aws_client_region(doctor->client);
    }
    struct policy_scope scope = {doctor->config, region != NULL ? region : "*",
                                 doctor->account[0] != '\0' ? doctor->account : "*",
                                 doctor->caller[0] != '\0' ? doctor->caller : NULL,
                                 doctor->definition};
    cJSON *policy = policy_make(&scope);
    char *json = policy == NULL ? NULL : cJSON_Print(policy);
    cJSON_Delete(policy);
    if (json == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot print the policy: out of memory");
    }
    json_print(stdout, json, strlen(json));
    cJSON_free(json);
    return 0;
}

static void check(struct doctor *doctor, const struct backend *backend)
{
    doctor_check_host(doctor);
    if (backend == &backend_ecs) {
        check_ecs(doctor);
    } else if (backend == &backend_docker) {
        doctor_check_engine(doctor);
    }
    doctor_check_warm(doctor);
    doctor_print_summary(doctor);
}

static struct doctor begin(const struct command_context *context)
{
    return (struct doctor){.config = context->config,
                           .signals = context->signals,
                           .deadline_ms = clock_deadline_ms(DOCTOR_MS),
                           .colour = log_wants_colour(STDOUT_FILENO),
                           .width = (int)terminal_width(STDOUT_FILENO),
                           .json = context->options->json};
}

int doctor_report_unusable(const struct command_context *context, const struct error *reason,
                           struct result *out_result)
{
    struct doctor doctor = begin(context);
    doctor_print_heading(&doctor, "This machine");
    doctor_report_error(&doctor, reason, NULL);
    doctor_print_summary(&doctor);
    *out_result = (struct result){.kind = RESULT_BUILD};
    return 0;
}

int command_doctor(struct command_context *context, struct result *out_result, struct error *err)
{
    struct doctor doctor = begin(context);
    const struct backend *backend = backend_choose(context->config, err);
    int result = 0;
    if (!context->options->policy) {
        check(&doctor, backend);
    } else if (backend != &backend_ecs) {
        result = backend == NULL ? -1
                                 : error_set(err, ERROR_OPTION, 0,
                                             "--policy: the backend '%s' needs no AWS permissions",
                                             backend->name);
    } else {
        result = print_policy(&doctor, err);
    }
    cJSON_Delete(doctor.definition);
    aws_client_free(doctor.client);
    out_result->kind = doctor.counts[DOCTOR_FAIL] > 0 ? RESULT_BUILD : RESULT_SUCCESS;
    return result;
}
