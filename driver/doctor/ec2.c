/* SPDX-License-Identifier: MIT */
#include "driver/doctor/ec2.h"

#include <stdio.h>
#include <string.h>

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
        doctor_tell_error(doctor, &err,
                          strncmp(failure.code, "Invalid", strlen("Invalid")) == 0 ? remedy : NULL);
        return NULL;
    }
    cJSON *found = cJSON_DetachItemFromObjectCaseSensitive(answer, set);
    cJSON_Delete(answer);
    return found != NULL ? found : cJSON_CreateArray();
}
