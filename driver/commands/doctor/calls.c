/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/calls.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define CALL_MS 20000 /* one call with its retries */

int doctor_ecs(struct doctor *doctor, const char *operation, const cJSON *request,
               cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_ecs(doctor->client, operation, request, deadline_ms, out_answer, out_failure, err);
}

int doctor_ecr(struct doctor *doctor, const char *region, const char *operation,
               const cJSON *request, cJSON **out_answer, struct aws_failure *out_failure,
               struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_ecr(doctor->client, region, operation, request, deadline_ms, out_answer, out_failure,
                   err);
}

int doctor_query(struct doctor *doctor, enum aws_query_service service, const char *operation,
                 const char *const *parameters, cJSON **out_answer, struct aws_failure *out_failure,
                 struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_query(doctor->client, service, operation, parameters, deadline_ms, out_answer,
                     out_failure, err);
}

void ec2_add(struct ec2_parameters *parameters, const char *name, const char *value)
{
    size_t at = parameters->count++;
    (void)snprintf(parameters->names[at], EC2_NAME_BYTES, "%s", name);
    parameters->list[2 * at] = parameters->names[at];
    parameters->list[2 * at + 1] = value;
    parameters->list[2 * at + 2] = NULL;
}

void ec2_add_list(struct ec2_parameters *parameters, const char *prefix,
                  const struct config_list *list)
{
    char name[EC2_NAME_BYTES];
    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(name, sizeof(name), "%s.%zu", prefix, i + 1);
        ec2_add(parameters, name, list->entries[i]);
    }
}

cJSON *doctor_ec2(struct doctor *doctor, const char *operation,
                  const struct ec2_parameters *parameters, const char *set, const char *remedy)
{
    struct aws_failure failure;
    struct error err = {0};
    cJSON *answer = NULL;
    if (doctor_query(doctor, AWS_EC2, operation, parameters->list, &answer, &failure, &err) < 0) {
        doctor_report_error(
            doctor, &err, strncmp(failure.code, "Invalid", strlen("Invalid")) == 0 ? remedy : NULL);
        return NULL;
    }
    cJSON *found = cJSON_DetachItemFromObjectCaseSensitive(answer, set);
    cJSON_Delete(answer);
    return found != NULL ? found : cJSON_CreateArray();
}
