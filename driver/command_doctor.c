/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend.h"
#include "driver/command.h"
#include "driver/doctor/doctor.h"
#include "driver/doctor/policy.h"

#define DOCTOR_MS 120000

static bool wants_colour(void)
{
    const char *terminal = getenv("TERM");
    const char *without = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) == 1 && (without == NULL || without[0] == '\0') &&
           terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static void check_ecs(struct doctor *doctor)
{
    doctor_check_account(doctor);
    doctor_check_cluster(doctor);
    doctor_check_definition(doctor);
    doctor_check_network(doctor);
    doctor_check_permissions(doctor);
}

/* Prints what this configuration needs. What AWS would have to tell is asked for, and done without
 * where it does not answer: whoever makes the runner's role has no such role yet. */
static int print_policy(struct doctor *doctor, struct error *err)
{
    struct error ignored = {0};
    const char *region = doctor->config->fargate.region;
    if (doctor_find_account(doctor, &ignored) < 0) {
        log_warn("%s; the account in the policy is '*'", ignored.message);
    } else if (doctor_find_definition(doctor, &ignored) < 0) {
        log_warn("%s; the policy lets any role be passed to tasks", ignored.message);
    }
    if (doctor->client != NULL) {
        region = aws_client_region(doctor->client);
    }
    struct policy_scope scope = {doctor->config, region != NULL ? region : "*",
                                 doctor->account[0] != '\0' ? doctor->account : "*",
                                 doctor->caller[0] != '\0' ? doctor->caller : NULL,
                                 doctor->definition};
    cJSON *policy = policy_make(&scope);
    char *text = policy == NULL ? NULL : cJSON_Print(policy);
    cJSON_Delete(policy);
    if (text == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot make the policy: no memory");
    }
    (void)printf("%s\n", text);
    cJSON_free(text);
    return 0;
}

static void look(struct doctor *doctor, const struct backend *backend)
{
    doctor_check_host(doctor);
    if (backend == &backend_ecs) {
        check_ecs(doctor);
    } else if (backend == &backend_docker) {
        doctor_check_engine(doctor);
    }
    doctor_tell_sum(doctor);
}

int command_doctor(struct command_context *context, struct result *out_result, struct error *err)
{
    struct doctor doctor = {.config = context->config,
                            .signals = context->signals,
                            .deadline_ms = clock_deadline_ms(DOCTOR_MS),
                            .colour = wants_colour()};
    if (context->argc != 0) {
        return error_set(err, ERROR_USAGE, 0, "'doctor' takes no words; try --help");
    }
    const struct backend *backend = backend_choose(context->config, err);
    int result = 0;
    if (!context->policy) {
        look(&doctor, backend);
    } else if (backend != &backend_ecs) {
        result = backend == NULL
                     ? -1
                     : error_set(err, ERROR_USAGE, 0,
                                 "--policy: the backend '%s' needs nothing of AWS", backend->name);
    } else {
        result = print_policy(&doctor, err);
    }
    cJSON_Delete(doctor.definition);
    aws_client_free(doctor.client);
    out_result->kind = doctor.counts[DOCTOR_WRONG] > 0 ? RESULT_BUILD : RESULT_SUCCESS;
    return result;
}
